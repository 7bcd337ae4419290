/** A bounded part of a list. `next` is where the following page starts; absent on the last one. */
export interface Page<T, Position = string> {
  readonly items: readonly T[];
  readonly next?: Position;
}

export interface PageRequest<Position = string> {
  /** 1 to 500. */
  readonly limit: number;
  /** `next` of the page before. */
  readonly after?: Position;
}
