import { existsSync, readdirSync } from 'node:fs';
import { SLOTS, preferredSlot, type NetworkPlan, type NodePlan, type WorkloadPlan } from './plan.ts';
import { exec, inNamespace, ip } from './shell.ts';

const NAMESPACES = '/run/netns';

/** Finds a /24 that this machine does not use yet. */
export async function chooseSlot(id: string): Promise<number> {
  const routes = await exec('ip', ['-4', 'route', 'show', 'table', 'all']);
  for (let step = 0; step < SLOTS; step += 1) {
    const slot = (preferredSlot(id) + step) % SLOTS;
    if (!routes.includes(`198.${18 + (slot >> 8)}.${slot & 255}.`)) return slot;
  }
  throw new Error('All ranges of 198.18.0.0/15 are in use on this machine; end some demos with `./dev stop`.');
}

/**
 * Builds the demo's network: machine ↔ router ↔ two nodes ↔ three workloads
 * each. What an earlier run of the same stack left is removed first.
 */
export async function buildNetwork(plan: NetworkPlan): Promise<void> {
  await removeNetwork(plan.id);
  await addNamespace(plan.router.namespace);
  await connect(undefined, plan.host.interface, `${plan.host.address}/30`, plan.router.namespace, 'host', `${plan.router.address}/30`);
  await ip(undefined, [`route add ${plan.host.range} via ${plan.router.address} dev ${plan.host.interface}`]);
  for (const node of plan.nodes) await buildNode(plan, node);
  await forward(plan.router.namespace);
}

/** Removes a stack's namespaces and with them its links, routes and translations; programs attached there are freed. */
export async function removeNetwork(id: string): Promise<void> {
  // The link first: with its namespace it would go too, but some time later, when the kernel gets round to it.
  if (existsSync(`/sys/class/net/pal-${id}`)) await exec('ip', ['link', 'delete', `pal-${id}`]);
  const mine = existsSync(NAMESPACES) ? readdirSync(NAMESPACES).filter((name) => name.startsWith(`palisade-${id}-`)) : [];
  for (const name of mine) await exec('ip', ['netns', 'delete', name]);
}

async function buildNode(plan: NetworkPlan, node: NodePlan): Promise<void> {
  await addNamespace(node.namespace);
  await connect(plan.router.namespace, node.name, `${node.via}/30`, node.namespace, 'uplink', `${node.address}/30`);
  await ip(plan.router.namespace, [`route add ${node.podRange} via ${node.address} dev ${node.name}`]);
  await ip(node.namespace, [`route add default via ${node.via} dev uplink`]);
  for (const workload of node.workloads) await buildWorkload(node, workload);
  await forward(node.namespace);
  await exec('nsenter', inNamespace(node.namespace, ['nft', '-f', '-']).slice(1), serviceTranslation(plan));
}

/** Every workload has a link of its own, as with the usual CNI plugins, so its packets pass its host-side veth even towards its neighbour. */
async function buildWorkload(node: NodePlan, workload: WorkloadPlan): Promise<void> {
  const gateway = node.podRange.replace('.0/24', '.1');
  await addNamespace(workload.namespace);
  await connect(node.namespace, workload.hostInterface, `${gateway}/32`, workload.namespace, 'eth0', `${workload.address}/32`);
  await ip(node.namespace, [`route add ${workload.address}/32 dev ${workload.hostInterface}`]);
  await ip(workload.namespace, [`route add ${gateway}/32 dev eth0 scope link`, `route add default via ${gateway} dev eth0`]);
}

async function addNamespace(name: string): Promise<void> {
  await exec('ip', ['netns', 'add', name]);
  await ip(name, ['link set lo up']);
}

async function connect(
  left: string | undefined,
  leftName: string,
  leftAddress: string,
  right: string,
  rightName: string,
  rightAddress: string,
): Promise<void> {
  await ip(left, [
    `link add ${leftName} type veth peer name ${rightName} netns ${right}`,
    `address add ${leftAddress} dev ${leftName}`,
    `link set ${leftName} up`,
  ]);
  await ip(right, [`address add ${rightAddress} dev ${rightName}`, `link set ${rightName} up`]);
}

async function forward(namespace: string): Promise<void> {
  await exec('nsenter', inNamespace(namespace, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']).slice(1));
}

/** What kube-proxy does: in the source's node, a connection to the service's address goes to one of the backends. */
function serviceTranslation(plan: NetworkPlan): string {
  const backends = plan.nodes.flatMap((node) => node.workloads).filter(({ kind }) => kind === 'backend');
  const choices = backends.map(({ address, port }, index) => `${index} : ${address} . ${port}`).join(', ');
  return `table ip palisade_demo_services {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ip daddr ${plan.service.address} tcp dport ${plan.service.port} dnat ip addr . port to numgen inc mod ${backends.length} map { ${choices} }
  }
}
`;
}
