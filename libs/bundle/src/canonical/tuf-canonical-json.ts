import { BundleError } from '../bundle-error.ts';
import type { JsonValue } from './canonical-json.ts';

/**
 * OLPC canonical JSON, the form whose bytes TUF metadata signs (TUF 1.0.31 §4.1): strings escape only the quotation
 * mark and the backslash, members are sorted, numbers are integers.
 * @throws BundleError `malformed` for fractions
 */
export function tufCanonicalText(value: JsonValue): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new BundleError('malformed', `TUF metadata holds integers only, not ${value}`);
    return String(value);
  }
  if (typeof value === 'string') return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  if (Array.isArray(value)) return `[${(value as readonly JsonValue[]).map(tufCanonicalText).join(',')}]`;
  if (typeof value !== 'object') throw new BundleError('malformed', `a ${typeof value} has no canonical JSON form`);
  const object = value as { readonly [key: string]: JsonValue | undefined };
  const members: string[] = [];
  for (const key of Object.keys(object).sort()) {
    const member = object[key];
    if (member !== undefined) members.push(`${tufCanonicalText(key)}:${tufCanonicalText(member)}`);
  }
  return `{${members.join(',')}}`;
}

/** UTF-8 bytes of {@link tufCanonicalText}. */
export function tufCanonicalJson(value: JsonValue): Uint8Array {
  return Buffer.from(tufCanonicalText(value), 'utf8');
}
