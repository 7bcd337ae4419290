import type { ClusterFactsSource } from '@palisade/control';
import type { IdentityFact, NodeFact, ServiceFact, WorkloadFact } from '@palisade/policy';
import type { TenantSession } from '../session.ts';

/** Reads what the signed identity stream says of a cluster now, without its signatures: for questions, not for nodes. */
export function postgresClusterFacts(session: TenantSession): ClusterFactsSource {
  return {
    async factsOf({ id, name, hostFirewall }) {
      const parameters = [session.context.tenantId, id];
      const [head] = await session.query<{ revision: string }>('SELECT revision FROM palisade.identity_heads WHERE tenant_id = $1 AND cluster_id = $2', parameters);
      const identities = await session.query<{ id: string; labels: IdentityFact['labels'] }>(
        `SELECT i.id, i.labels FROM palisade.identities i WHERE i.tenant_id = $1 AND EXISTS (
           SELECT 1 FROM palisade.workloads w WHERE w.tenant_id = i.tenant_id AND w.identity_id = i.id AND w.cluster_id = $2)`,
        parameters,
      );
      const workloads = await session.query<{ fact: WorkloadFact }>('SELECT fact FROM palisade.workloads WHERE tenant_id = $1 AND cluster_id = $2', parameters);
      const services = await session.query<{ fact: ServiceFact }>('SELECT fact FROM palisade.cluster_services WHERE tenant_id = $1 AND cluster_id = $2', parameters);
      const nodes = await session.query<{ fact: NodeFact }>(
        'SELECT published_fact AS fact FROM palisade.nodes WHERE tenant_id = $1 AND cluster_id = $2 AND published_fact IS NOT NULL',
        parameters,
      );
      return {
        clusterName: name,
        identityRevision: Number(head?.revision ?? 0),
        identities: identities.map((row) => ({ id: Number(row.id), labels: row.labels })),
        workloads: workloads.map(({ fact }) => fact),
        nodes: nodes.map(({ fact }) => fact),
        services: services.map(({ fact }) => fact),
        cidrGroups: [],
        hostFirewall,
      };
    },
  };
}
