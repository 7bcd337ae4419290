import { AUDIT_EVENT_VERSION, GENESIS_HASH, type AuditEvent } from '@palisade/audit';
import type { AuditEventRepository } from '@palisade/control';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';

interface EventRow {
  readonly tenant_id: string;
  readonly seq: string;
  readonly id: string;
  readonly version: number;
  readonly time: Date;
  readonly action: string;
  readonly outcome: AuditEvent['outcome'];
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly actor_name: string;
  readonly target_kind: string;
  readonly target_id: string;
  readonly target_name: string | null;
  readonly summary: string;
  readonly request_id: string | null;
  readonly source_address: string | null;
  readonly before_digest: string | null;
  readonly after_digest: string | null;
  readonly details: Record<string, string | number | boolean> | null;
  readonly previous_hash: Buffer;
}

export function postgresAuditEvents(session: TenantSession): AuditEventRepository {
  const { tenantId } = session.context;
  return {
    async list(filter, { order, limit, afterSeq }) {
      const newest = order === 'newest';
      const rows = await session.query<EventRow>(
        `SELECT * FROM palisade.audit_event
         WHERE tenant_id = $1 AND ($2::bigint IS NULL OR seq ${newest ? '<' : '>'} $2)
           AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR actor_id = $4)
           AND ($5::text IS NULL OR target_kind = $5) AND ($6::text IS NULL OR target_id = $6)
           AND ($7::text IS NULL OR outcome = $7)
           AND ($8::timestamptz IS NULL OR time >= $8) AND ($9::timestamptz IS NULL OR time < $9)
         ORDER BY seq ${newest ? 'DESC' : 'ASC'} LIMIT $10`,
        [
          tenantId,
          afterSeq ?? null,
          filter.action ?? null,
          filter.actorId ?? null,
          filter.targetKind ?? null,
          filter.targetId ?? null,
          filter.outcome ?? null,
          filter.from ?? null,
          filter.to ?? null,
          limit + 1,
        ],
      );
      return pageOf(rows.map(toEvent), limit, ({ seq }) => seq);
    },
    async head() {
      const [row] = await session.query<{ seq: string; hash: Buffer }>('SELECT seq, hash FROM palisade.audit_head WHERE tenant_id = $1', [tenantId]);
      return row === undefined ? { seq: 0, hash: GENESIS_HASH } : { seq: Number(row.seq), hash: row.hash.toString('hex') };
    },
  };
}

function toEvent(row: EventRow): AuditEvent {
  if (row.version !== AUDIT_EVENT_VERSION) throw new Error(`Audit event ${row.seq} has version ${row.version}, which this process does not know.`);
  return {
    version: AUDIT_EVENT_VERSION,
    id: row.id,
    tenantId: row.tenant_id,
    seq: Number(row.seq),
    time: row.time.toISOString(),
    action: row.action,
    outcome: row.outcome,
    actor: { kind: row.actor_kind, id: row.actor_id, name: row.actor_name },
    target: { kind: row.target_kind, id: row.target_id, ...(row.target_name === null ? {} : { name: row.target_name }) },
    summary: row.summary,
    ...(row.request_id === null ? {} : { requestId: row.request_id }),
    ...(row.source_address === null ? {} : { sourceAddress: row.source_address }),
    ...(row.before_digest === null ? {} : { beforeDigest: row.before_digest }),
    ...(row.after_digest === null ? {} : { afterDigest: row.after_digest }),
    ...(row.details === null ? {} : { details: row.details }),
    previousHash: row.previous_hash.toString('hex'),
  };
}
