import { createHmac, timingSafeEqual } from 'node:crypto';
import { DomainError } from '@palisade/errors';
import type { TenantId } from '@palisade/tenancy';

const TAG_BYTES = 16;
const MAX_LENGTH = 1_024;

/**
 * Cursors that clients cannot make or change: a position with an HMAC-SHA256 (cut to 128 bits) over it, the tenant and the
 * list with its filters. A cursor of another tenant or another list is as invalid as a made-up one.
 */
export class CursorCodec {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** @param list names the list and its filters, for example `clusters` or `audit-events?action=x` */
  encode(tenantId: TenantId, list: string, position: string | number): string {
    const body = Buffer.from(JSON.stringify(position), 'utf8');
    return Buffer.concat([this.#tag(tenantId, list, body), body]).toString('base64url');
  }

  /** Throws `cursor.invalid`. */
  decode(tenantId: TenantId, list: string, cursor: string): unknown {
    const bytes = Buffer.from(cursor.slice(0, MAX_LENGTH), 'base64url');
    const tag = bytes.subarray(0, TAG_BYTES);
    const body = bytes.subarray(TAG_BYTES);
    if (cursor.length > MAX_LENGTH || tag.length !== TAG_BYTES || !timingSafeEqual(tag, this.#tag(tenantId, list, body))) {
      throw new DomainError('cursor.invalid', 'This cursor does not belong to this list: use the one of the page before, with the same filters, or start without one.', { pointer: '/cursor' });
    }
    return JSON.parse(body.toString('utf8'));
  }

  #tag(tenantId: TenantId, list: string, body: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(`${tenantId}\n${list.length}\n${list}`).update(body).digest().subarray(0, TAG_BYTES);
  }
}
