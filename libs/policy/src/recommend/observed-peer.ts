/** Ends of observed flows, named as a rule would name them. */

import type { ClusterFacts, Labels, WorkloadFact } from '../facts.ts';
import type { FlowEnd } from '../verdict.ts';
import { subjectOf } from './stable-labels.ts';

export type ObservedPeer =
  | { readonly kind: 'endpoints'; readonly labels: Readonly<Record<string, string>> }
  | { readonly kind: 'entity'; readonly entity: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string };

/** Finds who an end is, as policy would name it. */
export class EndFinder {
  private readonly workloads: ReadonlyMap<string, WorkloadFact>;
  private readonly identities: ReadonlyMap<number, Labels>;
  private readonly holders = new Map<string, FlowEnd>();
  private readonly reserved = new Map<string, string>();

  constructor(facts: ClusterFacts) {
    this.workloads = new Map(facts.workloads.map((workload) => [workload.key, workload]));
    this.identities = new Map(facts.identities.map(({ id, labels }) => [id, labels]));
    for (const { entity, network, addresses } of facts.reserved ?? []) for (const address of addresses) this.reserved.set(`${network}|${address}`, entity);
    for (const { name, addresses } of facts.nodes) for (const address of addresses) this.holders.set(`default|${address}`, { node: name });
    for (const { key, network, addresses, hostNetwork } of facts.workloads) {
      if (hostNetwork !== true) for (const address of addresses) this.holders.set(`${network}|${address}`, { workload: key });
    }
  }

  /** The workload that is a policy subject at this end. */
  workload(end: FlowEnd): WorkloadFact | undefined {
    const held = this.held(end);
    const workload = 'workload' in held ? this.workloads.get(held.workload) : undefined;
    return workload?.hostNetwork === true ? undefined : workload;
  }

  labels({ identity }: WorkloadFact): Labels {
    return this.identities.get(identity) ?? {};
  }

  describe(end: FlowEnd, seenFrom: WorkloadFact): ObservedPeer {
    const held = this.held(end);
    if ('workload' in held) {
      const workload = this.workloads.get(held.workload);
      if (workload?.hostNetwork === true) return nodePeer(workload.node, seenFrom);
      if (workload === undefined) return { kind: 'entity', entity: 'cluster' };
      const labels = subjectOf(this.labels(workload));
      const elsewhere = workload.namespace === seenFrom.namespace ? {} : { 'k8s:io.kubernetes.pod.namespace': workload.namespace };
      return { kind: 'endpoints', labels: { ...labels, ...elsewhere } };
    }
    if ('node' in held) return nodePeer(held.node, seenFrom);
    if ('entity' in held) return { kind: 'entity', entity: held.entity };
    const [name] = held.names ?? [];
    if (name !== undefined) return { kind: 'name', name };
    const entity = this.reserved.get(`${held.network ?? 'default'}|${held.address}`);
    return entity === undefined ? { kind: 'address', address: held.address } : { kind: 'entity', entity };
  }

  private held(end: FlowEnd): FlowEnd {
    return 'address' in end && !('entity' in end) ? (this.holders.get(`${end.network ?? 'default'}|${end.address}`) ?? end) : end;
  }
}

function nodePeer(node: string, seenFrom: WorkloadFact): ObservedPeer {
  return { kind: 'entity', entity: node === seenFrom.node ? 'host' : 'remote-node' };
}
