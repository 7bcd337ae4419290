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

/** Appends to the tenant's chain: lock the head, insert the events, move the head, all in the caller's transaction. */
export function postgresAuditLog(session: TenantSession): AuditLog {
  const appendAll = async (entries: readonly AuditEntry[]): Promise<void> => {
    if (entries.length === 0) return;
    let head = await lockHead(session);
    const ids = await moreIds(session, entries.length - 1);
    const chained: ChainedEvent[] = [];
    for (const [index, entry] of entries.entries()) {
      const event = chainedEvent(session.context, entry, head);
      const hash = Buffer.from(auditEventHash(event), 'hex');
      chained.push({ event, hash });
      head = { seq: String(event.seq), hash, id: ids[index] ?? '', time: head.time };
    }
    await insertEvents(session, chained);
    await markApplied(session);
    await session.execute('UPDATE palisade.audit_head SET seq = $2, hash = $3 WHERE tenant_id = $1', [session.context.tenantId, head.seq, head.hash]);
  };
  return { append: (entry) => appendAll([entry]), appendAll };
}

interface ChainedEvent {
  readonly event: AuditEvent;
  readonly hash: Buffer;
}

async function moreIds(session: TenantSession, count: number): Promise<readonly string[]> {
  if (count === 0) return [];
  const rows = await session.query<{ id: string }>('SELECT uuidv7() AS id FROM generate_series(1, $1)', [count]);
  return rows.map((row) => row.id);
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

const EVENT_COLUMNS: readonly { readonly name: string; readonly type: string; readonly of: (chained: ChainedEvent) => unknown }[] = [
  { name: 'seq', type: 'bigint', of: ({ event }) => event.seq },
  { name: 'id', type: 'uuid', of: ({ event }) => event.id },
  { name: 'version', type: 'smallint', of: ({ event }) => event.version },
  { name: 'time', type: 'timestamptz', of: ({ event }) => event.time },
  { name: 'action', type: 'text', of: ({ event }) => event.action },
  { name: 'outcome', type: 'text', of: ({ event }) => event.outcome },
  { name: 'actor_kind', type: 'text', of: ({ event }) => event.actor.kind },
  { name: 'actor_id', type: 'text', of: ({ event }) => event.actor.id },
  { name: 'actor_name', type: 'text', of: ({ event }) => event.actor.name },
  { name: 'target_kind', type: 'text', of: ({ event }) => event.target.kind },
  { name: 'target_id', type: 'text', of: ({ event }) => event.target.id },
  { name: 'target_name', type: 'text', of: ({ event }) => event.target.name ?? null },
  { name: 'summary', type: 'text', of: ({ event }) => event.summary },
  { name: 'request_id', type: 'text', of: ({ event }) => event.requestId ?? null },
  { name: 'source_address', type: 'text', of: ({ event }) => event.sourceAddress ?? null },
  { name: 'before_digest', type: 'text', of: ({ event }) => event.beforeDigest ?? null },
  { name: 'after_digest', type: 'text', of: ({ event }) => event.afterDigest ?? null },
  { name: 'details', type: 'jsonb', of: ({ event }) => (event.details === undefined ? null : JSON.stringify(event.details)) },
  { name: 'previous_hash', type: 'bytea', of: ({ event }) => Buffer.from(event.previousHash, 'hex') },
  { name: 'hash', type: 'bytea', of: ({ hash }) => hash },
];

const INSERT_EVENTS = `INSERT INTO palisade.audit_event (tenant_id, ${EVENT_COLUMNS.map(({ name }) => name).join(', ')})
  SELECT $1, v.* FROM unnest(${EVENT_COLUMNS.map(({ type }, index) => `$${index + 2}::${type}[]`).join(', ')}) AS v`;

async function insertEvents(session: TenantSession, chained: readonly ChainedEvent[]): Promise<void> {
  await session.execute(INSERT_EVENTS, [session.context.tenantId, ...EVENT_COLUMNS.map(({ of }) => chained.map(of))]);
}
