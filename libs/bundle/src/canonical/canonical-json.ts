import { BundleError } from '../bundle-error.ts';

/** What a signed document may hold. Integers beyond 2^53 are strings (RFC 8785 §6, RFC 7493 §2.2). */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue | undefined };

/**
 * RFC 8785 (JCS) text of a value: no white space, members sorted by UTF-16 code units, ECMAScript numbers and strings.
 * Members whose value is `undefined` are left out.
 * @throws BundleError `malformed` for numbers that are not finite or not safe integers where integral, and lone surrogates
 */
export function canonicalJsonText(value: JsonValue): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'string') return stringText(value);
  if (Array.isArray(value)) return `[${(value as readonly JsonValue[]).map(canonicalJsonText).join(',')}]`;
  if (typeof value !== 'object') throw new BundleError('malformed', `a ${typeof value} has no canonical JSON form`);
  const object = value as { readonly [key: string]: JsonValue | undefined };
  const members: string[] = [];
  for (const key of Object.keys(object).sort()) {
    const member = object[key];
    if (member !== undefined) members.push(`${stringText(key)}:${canonicalJsonText(member)}`);
  }
  return `{${members.join(',')}}`;
}

/** UTF-8 bytes of {@link canonicalJsonText}. */
export function canonicalJson(value: JsonValue): Uint8Array {
  return Buffer.from(canonicalJsonText(value), 'utf8');
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new BundleError('malformed', 'NaN and infinities have no canonical JSON form');
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new BundleError('malformed', `${value} is beyond 2^53: sign it as a string`);
  }
  return JSON.stringify(value);
}

function stringText(value: string): string {
  if (!value.isWellFormed()) throw new BundleError('malformed', 'a string with a lone surrogate has no canonical JSON form');
  return JSON.stringify(value);
}
