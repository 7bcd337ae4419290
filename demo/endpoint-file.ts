import { workloadsOf, type NetworkPlan, type NodePlan } from './network/plan.ts';

export const WORKLOAD_NAMESPACE = 'shop';

/**
 * What a node's agent is told about its workloads and about services: the
 * agent's static source, where a Kubernetes node would have the API server's watch.
 */
export function endpointFile(plan: NetworkPlan, node: NodePlan): string {
  const backends = workloadsOf(plan).filter(({ kind }) => kind === 'backend');
  return JSON.stringify(
    {
      endpoints: node.workloads.map((workload) => ({
        key: `pod/${WORKLOAD_NAMESPACE}/${workload.name}`,
        namespace: WORKLOAD_NAMESPACE,
        name: workload.name,
        labels: { app: workload.kind },
        namespaceLabels: { 'kubernetes.io/metadata.name': WORKLOAD_NAMESPACE },
        serviceAccount: 'default',
        network: 'default',
        addresses: [workload.address],
        namedPorts: {},
        attach: { kind: 'interface', ifname: workload.hostInterface },
      })),
      services: [
        {
          namespace: WORKLOAD_NAMESPACE,
          name: plan.service.name,
          addresses: [plan.service.address],
          ports: [{ port: plan.service.port, protocol: 'TCP', targetPort: 8080 }],
          backends: backends.map(({ address }) => address),
        },
      ],
    },
    null,
    2,
  );
}
