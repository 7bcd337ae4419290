import type { Node, NodeRepository, ObservedState } from '@palisade/control';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';

interface NodeRow {
  readonly id: string;
  readonly cluster_id: string;
  readonly name: string;
  readonly state: Node['state'];
  readonly state_reason: string | null;
  readonly labels: Record<string, string>;
  readonly hostname: string;
  readonly agent_version: string;
  readonly arch: string;
  readonly kernel: Node['kernel'];
  readonly addresses: string[];
  readonly address_ranges: string[] | null;
  readonly attestation: { method: string };
  readonly enrolled_at: Date;
  readonly boot_id: string | null;
  readonly observed: ObservedState | null;
  readonly seen_at: Date | null;
  readonly desired: string | null;
  readonly problems: string[] | null;
}

const SELECT = `SELECT n.id, n.cluster_id, n.name, n.state, n.state_reason, n.labels, n.hostname, COALESCE(o.agent_version, n.agent_version) AS agent_version,
    n.arch, n.kernel, n.addresses, n.address_ranges, n.attestation, n.enrolled_at, o.boot_id, o.observed, o.seen_at, d.epoch || '.' || d.n AS desired, r.problems
  FROM palisade.nodes n
  LEFT JOIN palisade.node_observations o ON o.tenant_id = n.tenant_id AND o.node_id = n.id
  LEFT JOIN palisade.node_desired d ON d.tenant_id = n.tenant_id AND d.node_id = n.id
  LEFT JOIN palisade.endpoint_report_results r ON r.tenant_id = n.tenant_id AND r.node_id = n.id`;

export function postgresNodes(session: TenantSession): NodeRepository {
  const { tenantId } = session.context;
  return {
    async list(clusterId, { limit, after }) {
      const rows = await session.query<NodeRow>(`${SELECT} WHERE n.tenant_id = $1 AND n.cluster_id = $2 AND ($3::uuid IS NULL OR n.id > $3) ORDER BY n.id LIMIT $4`, [tenantId, clusterId, after ?? null, limit + 1]);
      return pageOf(rows.map(toNode), limit, (node) => node.id);
    },
    async find(clusterId, id) {
      const [row] = await session.query<NodeRow>(`${SELECT} WHERE n.tenant_id = $1 AND n.cluster_id = $2 AND n.id = $3`, [tenantId, clusterId, id]);
      return row && toNode(row);
    },
    async setState(id, state, reason) {
      const changed = await session.execute('UPDATE palisade.nodes SET state = $3, state_reason = $4 WHERE tenant_id = $1 AND id = $2 AND state <> $3', [tenantId, id, state, reason]);
      return changed === 1;
    },
    async setAddressRanges(id, ranges) {
      await session.execute('UPDATE palisade.nodes SET address_ranges = $3 WHERE tenant_id = $1 AND id = $2', [tenantId, id, ranges]);
    },
  };
}

function toNode(row: NodeRow): Node {
  const { observed } = row;
  return {
    id: row.id,
    clusterId: row.cluster_id,
    name: row.name,
    state: row.state,
    stateReason: row.state_reason,
    labels: row.labels,
    hostname: row.hostname,
    agentVersion: row.agent_version,
    arch: row.arch,
    kernel: row.kernel,
    addresses: row.addresses,
    addressRanges: row.address_ranges,
    attestation: row.attestation,
    enrolledAt: row.enrolled_at,
    observed:
      observed === null || row.seen_at === null
        ? null
        : {
            bootId: row.boot_id ?? '',
            generation: observed.generation === null ? null : `${observed.generation.epoch}.${observed.generation.n}`,
            contentDigest: observed.contentDigest === '' ? null : observed.contentDigest,
            state: observed.state,
            reason: observed.reason,
            policyRevision: observed.policyRevision,
            identityRevision: observed.identityRevision,
            endpointsProtected: observed.endpointsProtected,
            endpointsUnprotected: observed.endpointsUnprotected,
            gaps: observed.gaps ?? [],
            longestUnprotectedMs: observed.longestUnprotectedMs ?? null,
            deniedPackets: observed.deniedPackets,
            disabledUntilMs: observed.disabledUntilMs,
            seenAt: row.seen_at,
          },
    desiredGeneration: row.desired,
    reportProblems: row.problems ?? [],
  };
}
