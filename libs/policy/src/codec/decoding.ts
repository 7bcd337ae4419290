/** Readers for JSON that came over a wire or out of a database: each checks what it returns, and says where it failed. */

import { DomainError } from '@palisade/errors';

/** Reads a value found at `pointer`; throws `request.invalid` with the pointer. */
export type Decode<T> = (value: unknown, pointer: string) => T;

export function refuse(pointer: string, demand: string): never {
  throw new DomainError(
    'request.invalid',
    `The policy IR is damaged at ${pointer === '' ? 'its root' : pointer}: ${demand}. Compile the policies again.`,
    { pointer },
  );
}

type Fields = Readonly<Record<string, Decode<unknown>>>;
type Decoded<F extends Fields> = { readonly [K in keyof F]: F[K] extends Decode<infer T> ? T : never };
type Present<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** An object with exactly these fields, in this order; fields that decode to undefined are left out. */
export function record<F extends Fields>(fields: F): Decode<Present<Decoded<F>>> {
  const names = Object.keys(fields);
  return (value, pointer) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse(pointer, 'an object is needed');
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(fields, name)) refuse(`${pointer}/${name.slice(0, 64)}`, 'the field is not part of the IR');
    }
    const result: Record<string, unknown> = {};
    for (const name of names) {
      const decoded = fields[name]?.(Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined, `${pointer}/${name}`);
      if (decoded !== undefined) result[name] = decoded;
    }
    // Built field by field from `fields`, so it has their types.
    return result as Present<Decoded<F>>;
  };
}

export function listOf<T>(item: Decode<T>, most = 100_000): Decode<readonly T[]> {
  return (value, pointer) => {
    if (!Array.isArray(value) || value.length > most) return refuse(pointer, `a list of at most ${most} entries is needed`);
    return value.map((entry: unknown, i) => item(entry, `${pointer}/${i}`));
  };
}

export function optional<T>(decode: Decode<T>): Decode<T | undefined> {
  return (value, pointer) => (value === undefined ? undefined : decode(value, pointer));
}

export const text: Decode<string> = (value, pointer) =>
  typeof value === 'string' && value.length <= 65_536 ? value : refuse(pointer, 'text is needed');

export const flag: Decode<boolean> = (value, pointer) => (typeof value === 'boolean' ? value : refuse(pointer, 'true or false is needed'));

export function integer(min: number, max: number): Decode<number> {
  return (value, pointer) =>
    typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
      ? value
      : refuse(pointer, `an integer from ${min} to ${max} is needed`);
}

export function word<const W extends string | number>(...words: readonly W[]): Decode<W> {
  return (value, pointer) => words.find((candidate) => candidate === value) ?? refuse(pointer, `one of ${words.join(', ')} is needed`);
}

/** An object whose `kind` says which decoder reads it. */
export function variant<V extends Readonly<Record<string, Decode<unknown>>>>(variants: V): Decode<V[keyof V] extends Decode<infer T> ? T : never> {
  return (value, pointer) => {
    const kind: unknown = typeof value === 'object' && value !== null && Object.hasOwn(value, 'kind') ? Reflect.get(value, 'kind') : undefined;
    if (typeof kind !== 'string' || !Object.hasOwn(variants, kind))
      return refuse(`${pointer}/kind`, `one of ${Object.keys(variants).join(', ')} is needed`);
    return variants[kind]?.(value, pointer) as V[keyof V] extends Decode<infer T> ? T : never;
  };
}
