import type { ControlPlane } from '../tools/stack/control-plane.ts';
import type { DemoCluster } from './cluster.ts';
import { pinRoot } from './traces.ts';

/** What a person needs to send traffic and ask questions of their own. */
export function whatToTry(controlPlane: ControlPlane, demo: DemoCluster): string {
  const { plan, cluster } = demo;
  const workloads = plan.nodes.flatMap((node) =>
    node.workloads.map(({ name, namespace, address, port, hostInterface }) => `  ${name.padEnd(11)} ${`${address}:${port}`.padEnd(17)} namespace ${namespace}, ${hostInterface} in ${node.namespace}`),
  );
  const [first, second] = plan.nodes;
  const frontend = first?.workloads.find(({ kind }) => kind === 'frontend');
  const backend = second?.workloads.find(({ kind }) => kind === 'backend');
  const db = second?.workloads.find(({ kind }) => kind === 'db');
  const inFrontend = `nsenter --net=/run/netns/${frontend?.namespace} curl -sS -m 2`;
  return `
API          ${controlPlane.apiUrl} (described in apps/api/openapi.json)
owner token  ${controlPlane.ownerTokenFile}
gateway      ${controlPlane.gatewayUrl}
cluster      ${cluster.name} ${cluster.id}
service      ${plan.service.address}:${plan.service.port}
pinned       ${pinRoot(plan.id)}
logs         ${demo.state.log}
workloads
${workloads.join('\n')}

To try:
  ${inFrontend} http://${backend?.address}:${backend?.port}/      # allowed by the demo's policy
  ${inFrontend} http://${plan.service.address}/           # the same, through the service's address
  ${inFrontend} http://${db?.address}:${db?.port}/      # denied by it: dropped in the kernel
  curl -sS -H "Authorization: Bearer $(cat ${controlPlane.ownerTokenFile})" '${controlPlane.apiUrl}/v1/clusters/${cluster.id}/flows?verdict=dropped&limit=5'
`;
}
