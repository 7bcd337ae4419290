import type { FlowSinkDeliveries, FlowSinkRecord, FlowSinkRepositories, FlowSinkRepository } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { postgresAuditLog } from '../audit/audit-log.ts';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';
import { violatesUnique } from '../sql-state.ts';
import { inSystemTransaction, inTenantTransaction } from '../transactions.ts';

interface SinkRow {
  readonly id: string;
  readonly name: string;
  readonly endpoint: string;
  readonly header_names: string[];
  readonly logs: boolean;
  readonly metrics: boolean;
  readonly enabled: boolean;
  readonly version: number;
  readonly created_by: string;
  readonly created_at: Date;
  readonly sent_flows: string;
  readonly rejected_flows: string;
  readonly sent_until: Date | null;
  readonly caught_up_at: Date | null;
  readonly metrics_at: Date | null;
  readonly failing_since: Date | null;
  readonly last_error: string | null;
  readonly next_attempt_at: Date;
}

const COLUMNS = `id, name, endpoint, header_names, logs, metrics, enabled, version, created_by, created_at, sent_flows, rejected_flows, sent_until, caught_up_at, metrics_at,
  failing_since, last_error, next_attempt_at`;

function toSink(row: SinkRow): FlowSinkRecord {
  return {
    id: row.id, name: row.name, endpoint: row.endpoint, headerNames: row.header_names, logs: row.logs, metrics: row.metrics, enabled: row.enabled, version: row.version, createdBy: row.created_by,
    createdAt: row.created_at, sentFlows: Number(row.sent_flows), rejectedFlows: Number(row.rejected_flows), nextAttemptAt: row.next_attempt_at,
    ...(row.sent_until === null ? {} : { sentUntil: row.sent_until }), ...(row.caught_up_at === null ? {} : { caughtUpAt: row.caught_up_at }), ...(row.metrics_at === null ? {} : { metricsAt: row.metrics_at }),
    ...(row.failing_since === null ? {} : { failingSince: row.failing_since }), ...(row.last_error === null ? {} : { lastError: row.last_error }),
  };
}

function postgresFlowSinks(session: TenantSession): FlowSinkRepository {
  const { tenantId } = session.context;
  return {
    async insert({ name, endpoint, headers, logs, metrics, position, createdBy }) {
      try {
        const [row] = await session.query<SinkRow>(
          `INSERT INTO palisade.flow_sinks (tenant_id, name, endpoint, headers, header_names, logs, metrics, position_commit, position_batch, created_by)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING ${COLUMNS}`,
          [tenantId, name, endpoint, JSON.stringify(headers), Object.keys(headers).toSorted(), logs, metrics, position.commit, position.batch, createdBy],
        );
        return toSink(row as SinkRow);
      } catch (error) {
        if (!violatesUnique(error, 'flow_sinks_name')) throw error;
        throw new DomainError('resource.conflict', `There is already a flow sink called ${name}: choose another name.`, { pointer: '/name', cause: error });
      }
    },
    async list({ limit, after }) {
      const rows = await session.query<SinkRow>(`SELECT ${COLUMNS} FROM palisade.flow_sinks WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`, [tenantId, after ?? null, limit + 1]);
      return pageOf(rows.map(toSink), limit, (sink) => sink.id);
    },
    async find(id) {
      const [row] = await session.query<SinkRow>(`SELECT ${COLUMNS} FROM palisade.flow_sinks WHERE tenant_id = $1 AND id = $2`, [tenantId, id]);
      return row && toSink(row);
    },
    async count() {
      const [row] = await session.query<{ count: number }>('SELECT count(id)::integer AS count FROM palisade.flow_sinks WHERE tenant_id = $1', [tenantId]);
      return row?.count ?? 0;
    },
    async update(id, { endpoint, logs, metrics, enabled, headers }, versionBefore) {
      const [row] = await session.query<SinkRow>(
        `UPDATE palisade.flow_sinks SET endpoint = $3, logs = $4, metrics = $5, enabled = $6, version = version + 1, next_attempt_at = now(), failures = 0${headers === undefined ? '' : ', headers = $8, header_names = $9'}
         WHERE tenant_id = $1 AND id = $2 AND version = $7 RETURNING ${COLUMNS}`,
        [tenantId, id, endpoint, logs, metrics, enabled, versionBefore, ...(headers === undefined ? [] : [JSON.stringify(headers), Object.keys(headers).toSorted()])],
      );
      return row && toSink(row);
    },
    async remove(id) {
      return (await session.execute('DELETE FROM palisade.flow_sinks WHERE tenant_id = $1 AND id = $2', [tenantId, id])) > 0;
    },
  };
}

export function flowSinkRepositories(session: TenantSession): FlowSinkRepositories {
  return { flowSinks: postgresFlowSinks(session), audit: postgresAuditLog(session) };
}

/** Sinks that are due, of all tenants; ids only. */
export async function dueFlowSinks(source: DataSource): Promise<readonly { readonly tenantId: string; readonly sinkId: string }[]> {
  const rows = await inSystemTransaction(source, (session) => session.query<{ tenant_id: string; sink_id: string }>('SELECT tenant_id, sink_id FROM palisade.flow_sinks_due()'));
  return rows.map((row) => ({ tenantId: row.tenant_id, sinkId: row.sink_id }));
}

interface LeaseRow {
  readonly id: string;
  readonly endpoint: string;
  readonly headers: Record<string, string>;
  readonly logs: boolean;
  readonly metrics: boolean;
  readonly position_commit: string;
  readonly position_batch: string;
  readonly metrics_at: Date | null;
  readonly failures: number;
}

/** A lease is a time in the row: no transaction stays open while something is sent. */
export function postgresFlowSinkDeliveries(source: DataSource, context: TenantContext): FlowSinkDeliveries {
  const inTenant = <Result>(work: (session: TenantSession) => Promise<Result>): Promise<Result> => inTenantTransaction(source, context, work);
  return {
    lease: (id, leaseMs) => inTenant(async (session) => {
      const [row] = await session.query<LeaseRow>(
        `UPDATE palisade.flow_sinks SET leased_until = now() + $3 * interval '1 millisecond'
         WHERE tenant_id = $1 AND id = $2 AND enabled AND leased_until < now() AND next_attempt_at <= now()
         RETURNING id, endpoint, headers, logs, metrics, position_commit, position_batch, metrics_at, failures`,
        [context.tenantId, id, leaseMs],
      );
      return row && {
        id: row.id, endpoint: row.endpoint, headers: row.headers, logs: row.logs, metrics: row.metrics, enabled: true, position: { commit: row.position_commit, batch: row.position_batch },
        failures: row.failures, ...(row.metrics_at === null ? {} : { metricsAt: row.metrics_at }),
      };
    }),
    settle: (id, progress) => inTenant(async (session) => {
      await session.execute(
        `UPDATE palisade.flow_sinks SET position_commit = $3, position_batch = $4, sent_flows = sent_flows + $5, rejected_flows = rejected_flows + $6,
           sent_until = coalesce(timestamptz 'epoch' + $7::bigint * interval '1 microsecond', sent_until), caught_up_at = CASE WHEN $8 THEN now() ELSE caught_up_at END,
           metrics_at = CASE WHEN $9 THEN now() ELSE metrics_at END, last_error = coalesce($10, last_error), failing_since = CASE WHEN $10::text IS NULL THEN NULL ELSE coalesce(failing_since, now()) END,
           failures = CASE WHEN $10::text IS NULL THEN 0 ELSE failures + 1 END, next_attempt_at = now() + $11 * interval '1 millisecond', leased_until = '-infinity'
         WHERE tenant_id = $1 AND id = $2`,
        [
          context.tenantId, id, progress.position.commit, progress.position.batch, progress.sentFlows, progress.rejectedFlows, progress.sentUntilUs ?? null, progress.caughtUp, progress.metricsSent,
          progress.error?.slice(0, 500) ?? null, progress.retryAfterMs,
        ],
      );
    }),
  };
}
