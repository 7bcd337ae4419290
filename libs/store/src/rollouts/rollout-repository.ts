import type { Rollout, RolloutEventRecord, RolloutRepository, ValidationReport } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';
import { violatesUnique } from '../sql-state.ts';
import { rolloutDelivery } from './rollout-delivery.ts';
import { rolloutNodes } from './rollout-nodes.ts';
import { ROLLOUT_COLUMNS, toRollout, type RolloutRow } from './rollout-row.ts';
import { rolloutWaves } from './rollout-waves.ts';

const FINISHED = "('succeeded', 'halted', 'rolled_back', 'superseded', 'canceled')";

/** All of a rollout in PostgreSQL; parts of it by file: the record itself here, waves, nodes, and what is delivered. */
export function postgresRollouts(session: TenantSession): RolloutRepository {
  return { ...rolloutRecords(session), ...rolloutWaves(session), ...rolloutNodes(session), ...rolloutDelivery(session) };
}

type Records = Pick<RolloutRepository, 'insert' | 'find' | 'findForUpdate' | 'findActive' | 'findRevertOf' | 'bundleBefore' | 'list' | 'validation' | 'swap' | 'record' | 'listEvents' | 'now'>;

function rolloutRecords(session: TenantSession): Records {
  const { tenantId } = session.context;
  const one = async (where: string, values: readonly unknown[], lock = ''): Promise<Rollout | undefined> => {
    const [row] = await session.query<RolloutRow>(`SELECT ${ROLLOUT_COLUMNS} FROM palisade.rollouts r WHERE r.tenant_id = $1 AND ${where} ${lock}`, [tenantId, ...values]);
    return row && toRollout(row);
  };
  const enqueue = (rolloutId: string) => session.execute("INSERT INTO palisade.outbox (tenant_id, topic, subject_id) VALUES ($1, 'rollout', $2)", [tenantId, rolloutId]);
  return {
    async insert(rollout) {
      try {
        const [created] = await session.query<{ id: string }>(
          `INSERT INTO palisade.rollouts (tenant_id, cluster_id, channel, state, policy_revision, revert_of, bundle_id, strategy, gate, windows, lease_ms, created_by, shadow_policy_revision, max_in_flight)
           VALUES ($1, $2, $3, 'draft', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id`,
          [tenantId, rollout.clusterId, rollout.channel, rollout.policyRevision, rollout.revertOf, rollout.bundleId, JSON.stringify(rollout.strategy),
            JSON.stringify(rollout.gate), JSON.stringify(rollout.windows), rollout.leaseMs, rollout.createdBy, rollout.shadowPolicyRevision, rollout.maxInFlight],
        );
        await enqueue(created!.id);
        return (await one('r.id = $2', [created!.id]))!;
      } catch (error) {
        if (!violatesUnique(error, 'rollouts_one_active')) throw error;
        throw new DomainError('resource.conflict', 'Another rollout of this channel is active. Wait for it, halt it, or pass "supersede": true.', { cause: error });
      }
    },
    find: (id) => one('r.id = $2', [id]),
    findForUpdate: (id) => one('r.id = $2', [id], 'FOR NO KEY UPDATE OF r'),
    findActive: (clusterId, channel) => one("r.cluster_id = $2 AND r.channel = $3 AND r.state IN ('draft', 'validating', 'ready', 'running', 'paused')", [clusterId, channel], 'FOR NO KEY UPDATE OF r'),
    findRevertOf: (id) => one('r.revert_of = $2 ORDER BY r.id DESC LIMIT 1', [id]),
    async bundleBefore(rollout) {
      const [row] = await session.query<{ bundle_id: string; policy_revision: string; shadow_policy_revision: string | null }>(
        `SELECT bundle_id, policy_revision, shadow_policy_revision FROM palisade.rollouts
         WHERE tenant_id = $1 AND cluster_id = $2 AND channel = $3 AND id < $4 AND bundle_id IS NOT NULL AND finished_at IS NOT NULL
           AND state IN ('succeeded', 'rolling_back', 'rolled_back') AND adopted
           AND bundle_id IS DISTINCT FROM (SELECT bundle_id FROM palisade.rollouts WHERE tenant_id = $1 AND id = $4)
         ORDER BY (epoch, n) DESC LIMIT 1`,
        [tenantId, rollout.clusterId, rollout.channel, rollout.id],
      );
      return row && { bundleId: row.bundle_id, policyRevision: Number(row.policy_revision), shadowPolicyRevision: row.shadow_policy_revision === null ? null : Number(row.shadow_policy_revision) };
    },
    async list(clusterId, { limit, after }) {
      const rows = await session.query<RolloutRow>(
        `SELECT ${ROLLOUT_COLUMNS} FROM palisade.rollouts r
         WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND ($3::uuid IS NULL OR r.id < $3) ORDER BY r.id DESC LIMIT $4`,
        [tenantId, clusterId, after ?? null, limit + 1],
      );
      return pageOf(rows.map(toRollout), limit, (rollout) => rollout.id);
    },
    async validation(id) {
      const [row] = await session.query<{ validation: ValidationReport | null }>('SELECT validation FROM palisade.rollouts WHERE tenant_id = $1 AND id = $2', [tenantId, id]);
      return row?.validation ?? undefined;
    },
    async swap(rollout, change) {
      const swapped = await session.execute(
        `UPDATE palisade.rollouts SET state = $4, reason = $5, version = version + 1, updated_at = now(),
           bundle_id = COALESCE($6, bundle_id), epoch = COALESCE($7, epoch), n = COALESCE($8, n),
           started_at = CASE WHEN $4 = 'running' THEN COALESCE(started_at, now()) ELSE started_at END,
           finished_at = CASE WHEN $4 IN ${FINISHED} THEN COALESCE(finished_at, now()) ELSE finished_at END,
           adopted = adopted OR $4 = 'succeeded', validation = COALESCE($9, validation)
         WHERE tenant_id = $1 AND id = $2 AND version = $3`,
        [tenantId, rollout.id, rollout.version, change.state, change.reason, change.bundleId ?? null, change.generation?.epoch ?? null, change.generation?.n ?? null,
          change.validation === undefined ? null : JSON.stringify(change.validation)],
      );
      if (swapped === 1) await enqueue(rollout.id);
      return swapped === 1;
    },
    async record(rolloutId, events) {
      if (events.length === 0) return;
      await session.execute(
        `INSERT INTO palisade.rollout_events (tenant_id, rollout_id, kind, wave_index, node_id, detail)
         SELECT $1, $2, e.kind, e.wave, e.node, e.detail FROM unnest($3::text[], $4::integer[], $5::uuid[], $6::text[]) AS e(kind, wave, node, detail)`,
        [tenantId, rolloutId, events.map((e) => e.kind), events.map((e) => e.waveIndex ?? null), events.map((e) => e.nodeId ?? null), events.map((e) => (e.detail ?? '').slice(0, 8192))],
      );
    },
    async listEvents(rolloutId, { limit, after }) {
      const rows = await session.query<{ id: string; kind: string; wave_index: number | null; node_id: string | null; detail: string; at: Date }>(
        `SELECT id, kind, wave_index, node_id, detail, at FROM palisade.rollout_events
         WHERE tenant_id = $1 AND rollout_id = $2 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4`,
        [tenantId, rolloutId, after ?? null, limit + 1],
      );
      const events = rows.map((row): RolloutEventRecord => ({ id: row.id, kind: row.kind, waveIndex: row.wave_index, nodeId: row.node_id, detail: row.detail, at: row.at }));
      return pageOf(events, limit, (event) => event.id);
    },
    async now() {
      const [row] = await session.query<{ now: Date }>('SELECT now() AS now');
      return row!.now;
    },
  };
}
