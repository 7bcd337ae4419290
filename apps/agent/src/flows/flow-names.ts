import type { LocalEndpoint } from '@palisade/dataplane';
import type { FlowPeer, FlowPolicy } from '@palisade/flow';
import { RESERVED_IDENTITY, type ClusterFacts, type ResolvedNode, type RuleReference, type WorkloadFact } from '@palisade/policy';

/** What the agent knows when it names flows. New objects mean new content: names are built again when one of them changes. */
export interface FlowKnowledge {
  readonly nodeName: string;
  readonly endpoints: readonly LocalEndpoint[];
  /** Absent before the first identity delivery. */
  readonly facts?: ClusterFacts;
  /** Absent before the first bundle. */
  readonly resolved?: ResolvedNode;
  /** Of the running bundle, `epoch.n`; empty before the first. */
  readonly generation: string;
}

const RESERVED_NAMES = new Map<number, string>(Object.entries(RESERVED_IDENTITY).map(([name, id]) => [id, `reserved:${name}`]));
/** Distinct addresses without a workload that are remembered; the outside world has no end. */
const MAX_OUTSIDE = 20_000;

function labelList(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels).map(([key, value]) => `${key}=${value}`).toSorted();
}

/** `pod/shop/frontend-a` → namespace and name; what the endpoint source calls it, until facts say more. */
function namesOfKey(key: string): Pick<FlowPeer, 'namespace' | 'workload'> {
  const parts = key.split('/');
  if (parts.length >= 3) return { namespace: parts[1] ?? '', workload: parts.slice(2).join('/') };
  return { workload: parts.at(-1) ?? key };
}

/** Names for addresses, identities and rules, from one state of knowledge. The same thing always gets the same object. */
export class FlowNames {
  readonly knowledge: FlowKnowledge;
  readonly #workloads = new Map<string, { workload: WorkloadFact; peer: FlowPeer }>();
  readonly #labels = new Map<number, readonly string[]>();
  readonly #bySlot = new Map<number, { endpoint: LocalEndpoint; peers: Map<string, FlowPeer> }>();
  readonly #keys = new Map<string, WorkloadFact>();
  readonly #outside = new Map<string, FlowPeer>();
  readonly #policies = new Map<number, readonly FlowPolicy[]>();
  /** Rules of the policy before: events may still name them for a moment. */
  readonly #previousRules: Readonly<Record<number, RuleReference>>;

  constructor(knowledge: FlowKnowledge, previous?: FlowNames) {
    this.knowledge = knowledge;
    this.#previousRules = previous?.knowledge.resolved?.rules ?? {};
    for (const { id, labels } of knowledge.facts?.identities ?? []) this.#labels.set(id, labelList(labels));
    for (const workload of knowledge.facts?.workloads ?? []) {
      this.#keys.set(workload.key, workload);
      for (const address of workload.addresses) this.#workloads.set(`${workload.network} ${address}`, { workload, peer: this.#workloadPeer(workload, address) });
    }
    for (const endpoint of knowledge.endpoints) this.#bySlot.set(endpoint.slot, { endpoint, peers: new Map() });
  }

  endpoint(slot: number): LocalEndpoint | undefined {
    return this.#bySlot.get(slot)?.endpoint;
  }

  /** The local end: the endpoint's own workload, whatever the address. */
  local(slot: number, address: string): FlowPeer {
    const own = this.#bySlot.get(slot);
    if (own === undefined) return this.far('default', address, RESERVED_IDENTITY.unknown);
    let peer = own.peers.get(address);
    if (peer === undefined) {
      const workload = this.#keys.get(own.endpoint.key);
      peer = workload === undefined
        ? { address, identity: RESERVED_IDENTITY.init, labels: ['reserved:init'], ...namesOfKey(own.endpoint.key), node: this.knowledge.nodeName }
        : this.#workloadPeer(workload, address);
      own.peers.set(address, peer);
    }
    return peer;
  }

  /**
   * The far end. The kernel's identity decided the verdict, so it is what the flow says, also where facts have moved on.
   * @param dnsNames stand on ends that are no workloads
   */
  far(network: string, address: string, identity: number, dnsNames?: readonly string[]): FlowPeer {
    const known = this.#workloads.get(`${network} ${address}`);
    if (known !== undefined && (known.workload.identity === identity || identity === RESERVED_IDENTITY.unknown)) return known.peer;
    const key = dnsNames === undefined ? `${address} ${identity}` : `${address} ${identity} ${dnsNames.join(' ')}`;
    let peer = this.#outside.get(key);
    if (peer === undefined) {
      const reserved = RESERVED_NAMES.get(identity);
      peer = { address, identity, labels: this.#labels.get(identity) ?? (reserved === undefined ? [] : [reserved]), ...(dnsNames === undefined ? {} : { dnsNames }) };
      if (this.#outside.size >= MAX_OUTSIDE) this.#outside.clear();
      this.#outside.set(key, peer);
    }
    return peer;
  }

  /** True where an agent sees the same connection from this end too. Host networking has no hook of its own. */
  isObserved(network: string, address: string): boolean {
    const known = this.#workloads.get(`${network} ${address}`);
    return known !== undefined && known.workload.hostNetwork !== true;
  }

  /** Policies behind a rule id; empty for 0 and for ids that nothing explains. */
  policies(ruleId: number): readonly FlowPolicy[] {
    let policies = this.#policies.get(ruleId);
    if (policies === undefined) {
      const rule = this.knowledge.resolved?.rules[ruleId] ?? this.#previousRules[ruleId];
      policies = rule === undefined ? [] : flowPolicies(rule);
      this.#policies.set(ruleId, policies);
    }
    return policies;
  }

  #workloadPeer(workload: WorkloadFact, address: string): FlowPeer {
    return {
      address,
      identity: workload.identity,
      labels: this.#labels.get(workload.identity) ?? [],
      namespace: workload.namespace,
      workload: workload.name,
      ...(this.knowledge.facts === undefined ? {} : { cluster: this.knowledge.facts.clusterName }),
      node: workload.node,
    };
  }
}

function flowPolicies(rule: RuleReference): readonly FlowPolicy[] {
  return rule.policies.map((policy) => ({
    kind: policy.kind,
    ...(policy.namespace === undefined ? {} : { namespace: policy.namespace }),
    name: policy.name,
    revision: policy.revision,
    direction: rule.direction,
    ...(policy.index === undefined ? {} : { index: policy.index }),
  }));
}
