import type { Page } from '@palisade/control';

/** Cuts a list that was read with one item more than asked for; that item tells that there is a next page. */
export function pageOf<T, Position>(items: readonly T[], limit: number, positionOf: (item: T) => Position): Page<T, Position> {
  if (items.length <= limit) return { items };
  const kept = items.slice(0, limit);
  return { items: kept, next: positionOf(kept[limit - 1] as T) };
}
