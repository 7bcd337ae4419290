import { createHash } from 'node:crypto';
import type { IdentityRepository, StoredWorkload } from '@palisade/control';
import type { IdentityFact, NodeFact, ServiceFact, WorkloadFact } from '@palisade/policy';
import type { TenantSession } from '../session.ts';

interface WorkloadRow {
  readonly key: string;
  readonly node_id: string;
  readonly network: string;
  readonly addresses: string[];
  readonly conflicting: string[];
  readonly fact: WorkloadFact;
}

const WORKLOAD = 'w.key, w.node_id, w.network, w.addresses, w.conflicting, w.fact';

export function postgresIdentities(session: TenantSession): IdentityRepository {
  return { ...identityStream(session), ...endpointReports(session), ...workloadRows(session), ...serviceRows(session), ...nodeFacts(session), identityOf: allocator(session) };
}

type Stream = Pick<IdentityRepository, 'lockHead' | 'moveHead' | 'append' | 'forgetBefore' | 'facts'>;

function identityStream(session: TenantSession): Stream {
  const { tenantId } = session.context;
  return {
    async lockHead(clusterId) {
      await session.execute('INSERT INTO palisade.identity_heads (tenant_id, cluster_id) VALUES ($1, $2) ON CONFLICT DO NOTHING', [tenantId, clusterId]);
      const [row] = await session.query<{ epoch: string; revision: string; snapshot_revision: string; signed_by: string | null }>(
        'SELECT epoch, revision, snapshot_revision, signed_by FROM palisade.identity_heads WHERE tenant_id = $1 AND cluster_id = $2 FOR NO KEY UPDATE',
        [tenantId, clusterId],
      );
      return { epoch: Number(row!.epoch), revision: Number(row!.revision), snapshotRevision: Number(row!.snapshot_revision), signedBy: row!.signed_by };
    },
    async moveHead(clusterId, head) {
      await session.execute('UPDATE palisade.identity_heads SET revision = $3, snapshot_revision = $4, signed_by = $5 WHERE tenant_id = $1 AND cluster_id = $2', [tenantId, clusterId, head.revision, head.snapshotRevision, head.signedBy]);
    },
    async append(clusterId, message) {
      await session.execute(
        'INSERT INTO palisade.identity_stream (tenant_id, cluster_id, revision, kind, previous_revision, envelope) VALUES ($1, $2, $3, $4, $5, $6)',
        [tenantId, clusterId, message.revision, message.kind, message.previousRevision, message.envelope],
      );
    },
    async forgetBefore(clusterId, revision) {
      await session.execute('DELETE FROM palisade.identity_stream WHERE tenant_id = $1 AND cluster_id = $2 AND revision < $3', [tenantId, clusterId, revision]);
    },
    async facts(clusterId, revision) {
      const workloads = await session.query<{ fact: WorkloadFact }>('SELECT fact FROM palisade.workloads WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY key COLLATE "C"', [tenantId, clusterId]);
      const identities = await session.query<{ id: string; labels: Record<string, string> }>(
        `SELECT id, labels FROM palisade.identities WHERE tenant_id = $1
           AND id IN (SELECT identity_id FROM palisade.workloads WHERE tenant_id = $1 AND cluster_id = $2) ORDER BY id`,
        [tenantId, clusterId],
      );
      const nodes = await session.query<{ fact: NodeFact }>('SELECT published_fact AS fact FROM palisade.nodes WHERE tenant_id = $1 AND cluster_id = $2 AND published_fact IS NOT NULL ORDER BY name COLLATE "C"', [tenantId, clusterId]);
      const services = await session.query<{ fact: ServiceFact }>('SELECT fact FROM palisade.cluster_services WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY key COLLATE "C"', [tenantId, clusterId]);
      const [cluster] = await session.query<{ name: string; settings: { hostFirewall?: boolean } }>('SELECT name, settings FROM palisade.clusters WHERE tenant_id = $1 AND id = $2', [tenantId, clusterId]);
      return {
        clusterName: cluster?.name ?? '',
        identityRevision: revision,
        identities: identities.map((row): IdentityFact => ({ id: Number(row.id), labels: row.labels })),
        workloads: workloads.map((row) => row.fact),
        nodes: nodes.map((row) => row.fact),
        services: services.map((row) => row.fact),
        cidrGroups: [],
        hostFirewall: cluster?.settings.hostFirewall ?? false,
      };
    },
  };
}

function endpointReports(session: TenantSession): Pick<IdentityRepository, 'pendingReports' | 'storeResult'> {
  const { tenantId } = session.context;
  return {
    async pendingReports(clusterId, limit) {
      const rows = await session.query<{ node_id: string; name: string; public_key: Buffer; address_ranges: string[] | null; version: string; envelope: Buffer; report_boot: string; report_sequence: string }>(
        `SELECT e.node_id, n.name, n.public_key, n.address_ranges, e.version, e.envelope, COALESCE(r.report_boot, 0) AS report_boot, COALESCE(r.report_sequence, 0) AS report_sequence FROM palisade.endpoint_reports e
         JOIN palisade.nodes n ON n.tenant_id = e.tenant_id AND n.id = e.node_id AND n.state = 'active' AND n.cluster_id = e.cluster_id
         LEFT JOIN palisade.endpoint_report_results r ON r.tenant_id = e.tenant_id AND r.node_id = e.node_id
         WHERE e.tenant_id = $1 AND e.cluster_id = $2 AND r.version IS DISTINCT FROM e.version ORDER BY e.received_at LIMIT $3`,
        [tenantId, clusterId, limit],
      );
      return rows.map((row) => ({ nodeId: row.node_id, nodeName: row.name, publicKey: row.public_key, addressRanges: row.address_ranges, version: Number(row.version), envelope: row.envelope, heard: { boot: Number(row.report_boot), sequence: Number(row.report_sequence) } }));
    },
    async storeResult(clusterId, result) {
      await session.execute(
        `INSERT INTO palisade.endpoint_report_results AS r (tenant_id, node_id, cluster_id, version, accepted, problems, report_boot, report_sequence)
           VALUES ($1, $2, $3, $4, $5, $6, COALESCE($7::bigint, 0), COALESCE($8::bigint, 0))
         ON CONFLICT (tenant_id, node_id) DO UPDATE SET version = EXCLUDED.version, accepted = EXCLUDED.accepted, problems = EXCLUDED.problems, processed_at = now(),
           report_boot = COALESCE($7, r.report_boot), report_sequence = COALESCE($8, r.report_sequence)`,
        [tenantId, result.nodeId, clusterId, result.version, result.accepted, JSON.stringify(result.problems.slice(0, 100)), result.heard?.boot ?? null, result.heard?.sequence ?? null],
      );
    },
  };
}

type Workloads = Pick<IdentityRepository, 'workloadsOfNode' | 'workloadsByKey' | 'workloadsByAddress' | 'orphanedWorkloads' | 'saveWorkloads' | 'removeWorkloads'>;

function workloadRows(session: TenantSession): Workloads {
  const { tenantId } = session.context;
  const select = async (where: string, values: readonly unknown[]): Promise<StoredWorkload[]> => {
    const rows = await session.query<WorkloadRow>(`SELECT ${WORKLOAD} FROM palisade.workloads w WHERE w.tenant_id = $1 AND ${where} ORDER BY w.key COLLATE "C"`, [tenantId, ...values]);
    return rows.map((row) => ({ key: row.key, nodeId: row.node_id, network: row.network, addresses: row.addresses, conflicting: row.conflicting, fact: row.fact }));
  };
  return {
    workloadsOfNode: (nodeId) => select('w.node_id = $2', [nodeId]),
    workloadsByKey: (clusterId, keys) => select('w.cluster_id = $2 AND w.key = ANY ($3)', [clusterId, keys]),
    workloadsByAddress: (clusterId, addresses) => select('w.cluster_id = $2 AND w.addresses && $3::text[]', [clusterId, addresses]),
    orphanedWorkloads: (clusterId) =>
      select("w.cluster_id = $2 AND EXISTS (SELECT 1 FROM palisade.nodes n WHERE n.tenant_id = w.tenant_id AND n.id = w.node_id AND n.state = 'revoked')", [clusterId]),
    async saveWorkloads(clusterId, workloads) {
      for (const w of workloads) {
        await session.execute(
          `INSERT INTO palisade.workloads (tenant_id, cluster_id, key, node_id, identity_id, network, addresses, conflicting, fact)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
           ON CONFLICT (tenant_id, cluster_id, key) DO UPDATE SET node_id = EXCLUDED.node_id, identity_id = EXCLUDED.identity_id, network = EXCLUDED.network,
             addresses = EXCLUDED.addresses, conflicting = EXCLUDED.conflicting, fact = EXCLUDED.fact, updated_at = now()`,
          [tenantId, clusterId, w.key, w.nodeId, w.fact.identity, w.network, w.addresses, w.conflicting, JSON.stringify(w.fact)],
        );
      }
    },
    async removeWorkloads(clusterId, keys) {
      if (keys.length > 0) await session.execute('DELETE FROM palisade.workloads WHERE tenant_id = $1 AND cluster_id = $2 AND key = ANY ($3)', [tenantId, clusterId, keys]);
    },
  };
}

function serviceRows(session: TenantSession): Pick<IdentityRepository, 'servicesByKey' | 'saveServices'> {
  const { tenantId } = session.context;
  return {
    async servicesByKey(clusterId, keys) {
      const rows = await session.query<{ key: string; node_id: string; fact: ServiceFact }>('SELECT key, node_id, fact FROM palisade.cluster_services WHERE tenant_id = $1 AND cluster_id = $2 AND key = ANY ($3)', [tenantId, clusterId, keys]);
      return rows.map((row) => ({ key: row.key, nodeId: row.node_id, fact: row.fact }));
    },
    async saveServices(clusterId, services) {
      for (const service of services) {
        await session.execute(
          `INSERT INTO palisade.cluster_services (tenant_id, cluster_id, key, node_id, fact) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (tenant_id, cluster_id, key) DO UPDATE SET node_id = EXCLUDED.node_id, fact = EXCLUDED.fact`,
          [tenantId, clusterId, service.key, service.nodeId, JSON.stringify(service.fact)],
        );
      }
    },
  };
}

type NodeFacts = Pick<IdentityRepository, 'unpublishedNodes' | 'departedNodes' | 'markPublished' | 'markDeparted'>;

function nodeFacts(session: TenantSession): NodeFacts {
  const { tenantId } = session.context;
  return {
    async unpublishedNodes(clusterId, limit) {
      const rows = await session.query<{ id: string; name: string; labels: Record<string, string>; addresses: string[] }>(
        `SELECT id, name, labels, addresses FROM palisade.nodes
         WHERE tenant_id = $1 AND cluster_id = $2 AND state = 'active' AND published_fact IS NULL ORDER BY id LIMIT $3`,
        [tenantId, clusterId, limit],
      );
      return rows.map((row) => ({ nodeId: row.id, fact: { name: row.name, labels: row.labels, addresses: row.addresses } }));
    },
    async departedNodes(clusterId) {
      const rows = await session.query<{ name: string }>("SELECT name FROM palisade.nodes WHERE tenant_id = $1 AND cluster_id = $2 AND state = 'revoked' AND published_fact IS NOT NULL", [tenantId, clusterId]);
      return rows.map((row) => row.name);
    },
    async markPublished(_clusterId, nodes) {
      if (nodes.length === 0) return;
      await session.execute(
        'UPDATE palisade.nodes n SET published_fact = v.fact FROM unnest($2::uuid[], $3::jsonb[]) AS v(id, fact) WHERE n.tenant_id = $1 AND n.id = v.id',
        [tenantId, nodes.map((node) => node.nodeId), nodes.map((node) => JSON.stringify(node.fact))],
      );
    },
    async markDeparted(clusterId, names) {
      if (names.length > 0) await session.execute('UPDATE palisade.nodes SET published_fact = NULL WHERE tenant_id = $1 AND cluster_id = $2 AND name = ANY ($3)', [tenantId, clusterId, names]);
    },
  };
}

function allocator(session: TenantSession): IdentityRepository['identityOf'] {
  const { tenantId } = session.context;
  return async (labels) => {
    const canonical = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
    const digest = createHash('sha256').update(canonical).digest();
    const [known] = await session.query<{ id: string }>('SELECT id FROM palisade.identities WHERE tenant_id = $1 AND labels_digest = $2', [tenantId, digest]);
    if (known !== undefined) return Number(known.id);
    // The counter's row lock makes allocation of one tenant go one by one; a number is never given twice.
    const [next] = await session.query<{ id: string }>(
      `INSERT INTO palisade.identity_counters (tenant_id, next_id) VALUES ($1, 257)
       ON CONFLICT (tenant_id) DO UPDATE SET next_id = palisade.identity_counters.next_id + 1 RETURNING next_id - 1 AS id`,
      [tenantId],
    );
    const [stored] = await session.query<{ id: string }>(
      `INSERT INTO palisade.identities (tenant_id, id, labels, labels_digest) VALUES ($1, $2, $3, $4)
       ON CONFLICT (tenant_id, labels_digest) DO UPDATE SET labels = EXCLUDED.labels RETURNING id`,
      [tenantId, next!.id, JSON.stringify(labels), digest],
    );
    return Number(stored!.id);
  };
}

/** The cluster's name, which identities carry as a label. */
export function postgresClusterNames(session: TenantSession) {
  return {
    async nameOf(clusterId: string): Promise<string | undefined> {
      const [row] = await session.query<{ name: string }>('SELECT name FROM palisade.clusters WHERE tenant_id = $1 AND id = $2', [session.context.tenantId, clusterId]);
      return row?.name;
    },
  };
}
