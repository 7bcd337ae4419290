import type { TenantContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { inTenantTransaction } from './transactions.ts';

/** What a key stands for now. */
export type IdempotencyClaim =
  | { readonly state: 'claimed' }
  | { readonly state: 'in-flight' }
  | { readonly state: 'mismatch' }
  /** Carried out by a process that died before it had kept the answer. */
  | { readonly state: 'answer-lost' }
  | { readonly state: 'done'; readonly status: number; readonly response: Buffer };

interface KeyRow {
  readonly same: boolean;
  readonly locked: boolean;
  readonly applied: boolean;
  readonly status: number | null;
  readonly response: Buffer | null;
}

/** Longer than any request may take; after it a request that died with its process may be repeated. */
const LOCK = "interval '60 seconds'";
const KEPT = "interval '24 hours'";

/** Answers of requests that create something, kept for a day under the caller's key. All hashes are 32 bytes. */
export class PostgresIdempotencyKeys {
  readonly #source: DataSource;

  constructor(source: DataSource) {
    this.#source = source;
  }

  claim(context: TenantContext, keyHash: Buffer, requestHash: Buffer): Promise<IdempotencyClaim> {
    return inTenantTransaction(this.#source, context, async (session) => {
      await session.execute(`DELETE FROM palisade.idempotency_keys WHERE tenant_id = $1 AND created_at < now() - ${KEPT}`, [context.tenantId]);
      const inserted = await session.execute(
        `INSERT INTO palisade.idempotency_keys (tenant_id, key_hash, request_hash, locked_until) VALUES ($1, $2, $3, now() + ${LOCK}) ON CONFLICT DO NOTHING`,
        [context.tenantId, keyHash, requestHash],
      );
      if (inserted > 0) return { state: 'claimed' };
      const [row] = await session.query<KeyRow>(
        `SELECT request_hash = $3 AS same, locked_until > now() AS locked, applied_at IS NOT NULL AS applied, status, response FROM palisade.idempotency_keys
         WHERE tenant_id = $1 AND key_hash = $2 FOR UPDATE`,
        [context.tenantId, keyHash, requestHash],
      );
      if (row === undefined) return { state: 'in-flight' };
      if (!row.same) return { state: 'mismatch' };
      if (row.status !== null && row.response !== null) return { state: 'done', status: row.status, response: row.response };
      if (row.locked) return { state: 'in-flight' };
      if (row.applied) return { state: 'answer-lost' };
      await session.execute(`UPDATE palisade.idempotency_keys SET locked_until = now() + ${LOCK} WHERE tenant_id = $1 AND key_hash = $2`, [context.tenantId, keyHash]);
      return { state: 'claimed' };
    });
  }

  /** Keeps the answer for repetitions. */
  async complete(context: TenantContext, keyHash: Buffer, status: number, response: Buffer): Promise<void> {
    await inTenantTransaction(this.#source, context, (session) =>
      session.execute('UPDATE palisade.idempotency_keys SET status = $3, response = $4 WHERE tenant_id = $1 AND key_hash = $2', [context.tenantId, keyHash, status, response]),
    );
  }

  /** Forgets a claim whose request failed without changing anything, so that it can be repeated after a correction. */
  async release(context: TenantContext, keyHash: Buffer): Promise<void> {
    await inTenantTransaction(this.#source, context, (session) =>
      session.execute('DELETE FROM palisade.idempotency_keys WHERE tenant_id = $1 AND key_hash = $2 AND status IS NULL AND applied_at IS NULL', [context.tenantId, keyHash]),
    );
  }
}
