import { createHash } from 'node:crypto';
import { canonicalJson, type Json } from './canonical-json.ts';

/** The version of the canonical form; raised when fields are added, so that old events keep their hashes. */
export const AUDIT_EVENT_VERSION = 1;

/** Hash that stands before the first event of a tenant. */
export const GENESIS_HASH = '0'.repeat(64);

/** One event as it is hashed, stored and exported. Absent fields are absent from the hashed form too. */
export interface AuditEvent {
  readonly version: typeof AUDIT_EVENT_VERSION;
  readonly id: string;
  readonly tenantId: string;
  /** 1, 2, 3 … without gaps within a tenant. */
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds: the stored precision, cut before hashing. */
  readonly time: string;
  readonly action: string;
  readonly outcome: 'success' | 'denied' | 'failure';
  readonly actor: { readonly kind: string; readonly id: string; readonly name: string };
  readonly target: { readonly kind: string; readonly id: string; readonly name?: string };
  readonly summary: string;
  readonly requestId?: string;
  readonly sourceAddress?: string;
  /** SHA-256 (hex) of the canonical state before and after the change. */
  readonly beforeDigest?: string;
  readonly afterDigest?: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
  /** `auditEventHash` of the event with `seq - 1`, or `GENESIS_HASH`. */
  readonly previousHash: string;
}

/** The bytes that are hashed: RFC 8785 JSON, UTF-8. */
export function auditEventBytes(event: AuditEvent): Buffer {
  return Buffer.from(canonicalJson(event as unknown as Json), 'utf8');
}

/** SHA-256 (hex) over the canonical bytes; covers `previousHash`, so it covers the whole history. */
export function auditEventHash(event: AuditEvent): string {
  return createHash('sha256').update(auditEventBytes(event)).digest('hex');
}
