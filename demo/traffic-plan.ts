import { workloadsOf, type Kind, type NetworkPlan, type NodePlan, type WorkloadPlan } from './network/plan.ts';
import type { StreamPlan } from './workload/protocol.ts';

/** A stream of requests, and whether the demo's policy allows it. */
export interface DemoStream extends StreamPlan {
  readonly from: string;
  readonly to: string;
  readonly allowedByPolicy: boolean;
  /** Through the service's address, or the workload's own. */
  readonly route: 'direct' | 'service';
}

const PATIENT_MS = 10_000;
const IMPATIENT_MS = 1000;

/** Who calls whom: 75 requests a second on every node that the policy will allow, and 11 that it will not. */
export function planTraffic(plan: NetworkPlan): readonly DemoStream[] {
  return plan.nodes.flatMap((node, index) => {
    const peer = plan.nodes[1 - index] ?? node;
    const frontend = pick(node, 'frontend');
    const backend = pick(node, 'backend');
    const db = pick(node, 'db');
    return [
      direct(frontend, pick(peer, 'backend'), 'kept-alive', 20, true),
      direct(frontend, pick(peer, 'backend'), 'new', 7, true),
      direct(frontend, backend, 'new', 8, true),
      service(frontend, plan, 'kept-alive', 15),
      service(frontend, plan, 'new', 10),
      direct(backend, pick(peer, 'db'), 'kept-alive', 10, true),
      direct(backend, db, 'new', 5, true),
      direct(frontend, pick(peer, 'db'), 'new', 5, false),
      direct(backend, pick(peer, 'frontend'), 'new', 3, false),
      direct(db, backend, 'kept-alive', 3, false),
    ];
  });
}

function pick(node: NodePlan, kind: Kind): WorkloadPlan {
  const found = node.workloads.find((workload) => workload.kind === kind);
  if (found === undefined) throw new Error(`${node.name} has no ${kind}.`);
  return found;
}

function direct(
  from: WorkloadPlan,
  to: WorkloadPlan,
  connections: StreamPlan['connections'],
  perSecond: number,
  allowedByPolicy: boolean,
): DemoStream {
  return {
    id: `${from.name} → ${to.name}:${to.port} ${connections}`,
    from: from.name,
    to: to.name,
    host: to.address,
    port: to.port,
    connections,
    perSecond,
    timeoutMs: allowedByPolicy ? PATIENT_MS : IMPATIENT_MS,
    allowedByPolicy,
    route: 'direct',
  };
}

function service(from: WorkloadPlan, plan: NetworkPlan, connections: StreamPlan['connections'], perSecond: number): DemoStream {
  return {
    id: `${from.name} → service ${plan.service.name}:${plan.service.port} ${connections}`,
    from: from.name,
    to: plan.service.name,
    host: plan.service.address,
    port: plan.service.port,
    connections,
    perSecond,
    timeoutMs: PATIENT_MS,
    allowedByPolicy: true,
    route: 'service',
  };
}

/** The workloads with what each of them sends. */
export function workloadConfigs(plan: NetworkPlan, streams: readonly DemoStream[]) {
  return workloadsOf(plan).map((workload) => ({
    workload,
    config: {
      name: workload.name,
      listenPort: workload.port,
      streams: streams.filter(({ from }) => from === workload.name),
    },
  }));
}
