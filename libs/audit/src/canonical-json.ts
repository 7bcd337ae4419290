import { DomainError } from '@palisade/errors';

/** JSON without `undefined`, `bigint` or dates: what RFC 8785 can write. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/**
 * The one text of a JSON value by RFC 8785: no white space, keys sorted by UTF-16 code units, numbers and strings as
 * ECMAScript writes them. Throws `request.invalid` for what has no canonical form: numbers that are not finite
 * (clause 3.2.2.3) and lone surrogates (clause 3.2.2.2).
 */
export function canonicalJson(value: Json): string {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new DomainError('request.invalid', 'A number that is not finite has no canonical JSON; write it as a string.');
  }
  if (typeof value === 'string' && !value.isWellFormed()) {
    throw new DomainError('request.invalid', 'Text with half of a surrogate pair has no canonical JSON; repair its encoding.');
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.keys(value)
    .sort()
    .map((key) => `${canonicalJson(key)}:${canonicalJson(value[key] as Json)}`);
  return `{${members.join(',')}}`;
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
