import { AUDIT_EVENT_VERSION, GENESIS_HASH, auditEventHash, type AuditEvent } from '@palisade/audit';
import type { AuditEntry, AuditLog } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { TenantSession } from '../session.ts';

interface HeadRow {
  readonly seq: string;
  readonly hash: Buffer;
  readonly id: string;
  readonly time: Date;
}

/** Appends to the tenant's chain: lock the head, insert the event, move the head, all in the caller's transaction. */
export function postgresAuditLog(session: TenantSession): AuditLog {
  return {
    async append(entry) {
      const head = await lockHead(session);
      const event = chainedEvent(session.context, entry, head);
      const hash = Buffer.from(auditEventHash(event), 'hex');
      await insertEvent(session, event, hash);
      await markApplied(session);
      await session.execute('UPDATE palisade.audit_head SET seq = $2, hash = $3 WHERE tenant_id = $1', [event.tenantId, event.seq, hash]);
    },
  };
}

/** Every change is audited, so this is where a request with an idempotency key is known to have changed something. */
async function markApplied({ context, execute }: TenantSession): Promise<void> {
  if (context.idempotencyKeyHash === undefined) return;
  await execute('UPDATE palisade.idempotency_keys SET applied_at = now() WHERE tenant_id = $1 AND key_hash = $2', [context.tenantId, context.idempotencyKeyHash]);
}

async function lockHead(session: TenantSession): Promise<HeadRow> {
  const { tenantId } = session.context;
  // clock_timestamp(), not now(): the head is locked here, so times never go back along the chain on one clock.
  const select = `SELECT seq, hash, uuidv7() AS id, date_trunc('milliseconds', clock_timestamp()) AS time
                  FROM palisade.audit_head WHERE tenant_id = $1 FOR UPDATE`;
  const [head] = await session.query<HeadRow>(select, [tenantId]);
  if (head !== undefined) return head;
  await session.execute('INSERT INTO palisade.audit_head (tenant_id, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING', [
    tenantId,
    Buffer.from(GENESIS_HASH, 'hex'),
  ]);
  const [created] = await session.query<HeadRow>(select, [tenantId]);
  if (created === undefined) throw new Error(`Tenant ${tenantId} has no audit head right after it was inserted.`);
  return created;
}

function chainedEvent(context: TenantContext, entry: AuditEntry, head: HeadRow): AuditEvent {
  const { actor, requestId, sourceAddress } = context;
  const { beforeDigest, afterDigest, details } = entry;
  return {
    version: AUDIT_EVENT_VERSION,
    id: head.id,
    tenantId: context.tenantId,
    seq: Number(head.seq) + 1,
    time: head.time.toISOString(),
    action: entry.action,
    outcome: entry.outcome ?? 'success',
    actor: { kind: actor.kind, id: storable(actor.id), name: storable(actor.name) },
    target: {
      kind: entry.target.kind,
      id: storable(entry.target.id),
      ...(entry.target.name === undefined ? {} : { name: storable(entry.target.name) }),
    },
    summary: storable(entry.summary),
    ...(requestId === undefined ? {} : { requestId: storable(requestId) }),
    ...(sourceAddress === undefined ? {} : { sourceAddress: storable(sourceAddress) }),
    ...(beforeDigest === undefined ? {} : { beforeDigest }),
    ...(afterDigest === undefined ? {} : { afterDigest }),
    ...(details === undefined ? {} : { details: Object.fromEntries(Object.entries(details).map(([key, value]) => [key, typeof value === 'string' ? storable(value) : value])) }),
    previousHash: head.hash.toString('hex'),
  };
}

/** What PostgreSQL and UTF-8 cannot hold is replaced before hashing, so that stored and hashed text are the same. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\u{FFFD}');
}

async function insertEvent(session: TenantSession, event: AuditEvent, hash: Buffer): Promise<void> {
  await session.execute(
    `INSERT INTO palisade.audit_event
       (tenant_id, seq, id, version, time, action, outcome, actor_kind, actor_id, actor_name, target_kind, target_id, target_name,
        summary, request_id, source_address, before_digest, after_digest, details, previous_hash, hash)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
    [
      event.tenantId,
      event.seq,
      event.id,
      event.version,
      event.time,
      event.action,
      event.outcome,
      event.actor.kind,
      event.actor.id,
      event.actor.name,
      event.target.kind,
      event.target.id,
      event.target.name ?? null,
      event.summary,
      event.requestId ?? null,
      event.sourceAddress ?? null,
      event.beforeDigest ?? null,
      event.afterDigest ?? null,
      event.details === undefined ? null : JSON.stringify(event.details),
      Buffer.from(event.previousHash, 'hex'),
      hash,
    ],
  );
}
