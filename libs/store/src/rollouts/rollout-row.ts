import type { Rollout, RolloutTarget } from '@palisade/control';
import type { GatePolicy, MaintenanceWindow, RolloutState, WaveStrategy } from '@palisade/rollout';

export interface RolloutRow {
  readonly id: string;
  readonly cluster_id: string;
  readonly channel: string;
  readonly state: RolloutState;
  readonly version: number;
  readonly reason: string | null;
  readonly policy_revision: string;
  readonly shadow_policy_revision: string | null;
  readonly max_in_flight: number | null;
  readonly revert_of: string | null;
  readonly bundle_id: string | null;
  readonly epoch: string | null;
  readonly n: string | null;
  readonly strategy: WaveStrategy;
  readonly gate: GatePolicy;
  readonly windows: readonly MaintenanceWindow[];
  readonly lease_ms: number;
  readonly created_by: string;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  /** From generations: arch → digests. */
  readonly by_arch: RolloutTarget['byArch'] | null;
}

/** A rollout with what its generation holds for each architecture. */
export const ROLLOUT_COLUMNS = `r.id, r.cluster_id, r.channel, r.state, r.version, r.reason, r.policy_revision, r.shadow_policy_revision, r.max_in_flight, r.revert_of, r.bundle_id, r.epoch, r.n,
  r.strategy, r.gate, r.windows, r.lease_ms, r.created_by, r.created_at, r.started_at, r.finished_at,
  (SELECT jsonb_object_agg(g.arch, jsonb_build_object('manifestSha256', g.manifest_sha256, 'contentDigest', g.content_digest))
   FROM palisade.generations g
   WHERE g.tenant_id = r.tenant_id AND g.cluster_id = r.cluster_id AND g.epoch = r.epoch AND g.n = r.n) AS by_arch`;

export function toRollout(row: RolloutRow): Rollout {
  return {
    id: row.id,
    clusterId: row.cluster_id,
    channel: row.channel,
    state: row.state,
    version: row.version,
    reason: row.reason,
    policyRevision: Number(row.policy_revision),
    shadowPolicyRevision: row.shadow_policy_revision === null ? null : Number(row.shadow_policy_revision),
    maxInFlight: row.max_in_flight,
    revertOf: row.revert_of,
    bundleId: row.bundle_id,
    target: row.epoch === null || row.n === null || row.by_arch === null ? null : { generation: { epoch: Number(row.epoch), n: Number(row.n) }, byArch: row.by_arch },
    strategy: row.strategy,
    gate: row.gate,
    windows: row.windows,
    leaseMs: row.lease_ms,
    createdBy: row.created_by,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
  };
}
