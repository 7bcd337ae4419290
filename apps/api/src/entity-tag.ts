import { DomainError } from '@palisade/errors';

/** A strong entity tag of a version (RFC 9110 §8.8.3). */
export function entityTag(version: number): string {
  return `"v${version}"`;
}

/** The version an `If-Match` header asks for; undefined without the header or with `*`. Throws `request.invalid`. */
export function expectedVersion(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined;
  const version = /^\s*"v(\d{1,9})"\s*$/.exec(header)?.[1];
  if (version === undefined) throw new DomainError('request.invalid', 'If-Match takes one entity tag as it was sent in ETag, for example "v3".', { pointer: '/headers/if-match' });
  return Number(version);
}
