/**
 * The selector-level intermediate representation: what every policy language is compiled to, what is stored, sealed into
 * bundles and resolved on the node. Plain JSON without optional lists: "any" is an explicit value and an empty list
 * always means "nothing", so nil and empty cannot be confused by JSON, jsonb or a wire format.
 *
 * Rules cited as (rule N) are those of the semantics document (docs: policy semantics).
 */

import type { Direction, FqdnSelector, HttpRule, PolicyReference } from './resolution.ts';

/** Raised when the meaning of a field changes; a reader refuses versions it does not know. */
export const IR_VERSION = 1;

export type PolicyKind = 'NetworkPolicy' | 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy' | 'ClusterNetworkPolicy';

/** `observe`: would-be drops are reported and pass. `shadow`: evaluated beside the live set only. `enforce`: decides. */
export type PolicyMode = 'observe' | 'shadow' | 'enforce';

/** Evaluated in this order (rule 5). */
export type Tier = 'admin' | 'normal' | 'baseline';

/** One policy object, all of its specs. */
export interface PolicyDocument {
  readonly irVersion: typeof IR_VERSION;
  readonly kind: PolicyKind;
  /** Absent on cluster-wide kinds. */
  readonly namespace?: string;
  readonly name: string;
  /** Counted by the control plane, 0 before the first apply. */
  readonly revision: number;
  readonly mode: PolicyMode;
  /** One block per spec and direction that the object speaks about. */
  readonly blocks: readonly PolicyBlock[];
}

/** What one spec of a policy says about one direction of the endpoints it selects. */
export interface PolicyBlock {
  /** Index in `specs`, 0 for `spec`. */
  readonly spec: number;
  readonly tier: Tier;
  /** Ascending order inside the admin and baseline tiers (rule 21); 0 in the normal tier, where order has no meaning. */
  readonly priority: number;
  readonly direction: Direction;
  readonly subject: Subject;
  /** Endpoints selected here are denied in this direction unless a rule of the normal tier allows (rules 12, 37). */
  readonly isolates: boolean;
  /** In their original order. */
  readonly rules: readonly PolicyRule[];
}

/** `endpoints`: pods and host units by identity labels. `nodes`: the host itself by node labels (rule 55). */
export interface Subject {
  readonly kind: 'endpoints' | 'nodes';
  readonly selector: LabelSelector;
}

/** All requirements must hold; no requirement matches everything. */
export interface LabelSelector {
  readonly requirements: readonly LabelRequirement[];
  /**
   * The end must be a workload of the cluster the policy lives in: its `k8s:io.cilium.k8s.policy.cluster` equals the
   * cluster's name, or is absent from its identity (rule 33). Never true of nodes and outside addresses.
   * False: no such condition.
   */
  readonly localCluster: boolean;
}

/**
 * `key` carries its source: `k8s:app`, `cloud:region`, `reserved:host`; the source `any` matches the key in every source
 * but those of clouds and hosts (`cloud`, `tag`, `host`: they are reached by their prefix only, rule 32). Labels of
 * facts whose key has no source count as `k8s`. `not-in` and `not-exists` hold when the key is absent (rules 16, 34).
 * `values` is empty for `exists` and `not-exists`.
 */
export interface LabelRequirement {
  readonly key: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'not-exists';
  readonly values: readonly string[];
}

export interface PolicyRule {
  /** u32 > 0, derived from the policy's key and this rule's content: changing one policy does not renumber others. */
  readonly id: number;
  /** Position in `section`, for explain. */
  readonly index: number;
  /** Field of the spec the rule was written in, for example `ingressDeny`. */
  readonly section: 'ingress' | 'ingressDeny' | 'egress' | 'egressDeny';
  /** `pass` leaves the tier at once (rule 22); only in admin and baseline blocks. */
  readonly action: 'allow' | 'deny' | 'pass';
  /** One must match; empty matches nobody (rule 35). */
  readonly peers: readonly Peer[];
  /** One must match; empty matches no traffic. */
  readonly ports: readonly PortClause[];
  /** Given name of the rule (ClusterNetworkPolicy). */
  readonly name?: string;
  /** Text to put on flows that this rule decides (Cilium `log.value`). */
  readonly log?: string;
}

/** Who may be at the other end. */
export type Peer =
  /** Everybody: workloads, nodes and outside. */
  | { readonly kind: 'any' }
  /** Ends by identity labels; namespace and cluster bounds are ordinary requirements (rules 14, 25, 33). */
  | { readonly kind: 'endpoints'; readonly selector: LabelSelector }
  /** Rule 41. */
  | { readonly kind: 'entity'; readonly entity: Entity }
  /**
   * Addresses in `cidr` but in none of `except`, canonical network addresses. `matchesPods`: also the addresses of
   * workloads and nodes (NetworkPolicy, ClusterNetworkPolicy: rules 15, 26); otherwise outside addresses only (rule 42).
   */
  | { readonly kind: 'cidr'; readonly cidr: string; readonly except: readonly string[]; readonly matchesPods: boolean }
  /** All CIDRs of one CiliumCIDRGroup; an unknown group matches nothing (rule 43). Outside addresses only. */
  | { readonly kind: 'cidr-group'; readonly name: string; readonly except: readonly string[] }
  | { readonly kind: 'cidr-group-selector'; readonly selector: LabelSelector; readonly except: readonly string[] }
  /** Outside addresses learned by DNS for a matching name (rules 27, 44). */
  | { readonly kind: 'fqdn'; readonly name: FqdnSelector }
  /** Rule 45; no namespace: every namespace. */
  | { readonly kind: 'service'; readonly namespace?: string; readonly name: string }
  | { readonly kind: 'service-selector'; readonly namespace?: string; readonly selector: LabelSelector }
  /** Nodes by node labels: `remote` (Cilium, rule 46) leaves out the endpoint's own node, `all` does not (rule 26). */
  | { readonly kind: 'nodes'; readonly selector: LabelSelector; readonly scope: 'remote' | 'all' };

export type Entity =
  | 'all'
  | 'world'
  | 'world-ipv4'
  | 'world-ipv6'
  | 'cluster'
  | 'host'
  | 'remote-node'
  | 'kube-apiserver'
  | 'health'
  | 'init'
  | 'unmanaged'
  | 'ingress'
  | 'none';

/** Ports of one clause share its L7 rules (Cilium `toPorts[]`); without `l7` the clause does not look at content. */
export interface PortClause {
  /** One must match; empty matches nothing (rule 35). */
  readonly ports: readonly PortMatch[];
  readonly l7?: L7Clause;
}

export type TransportProtocol = 'TCP' | 'UDP' | 'SCTP';

/** Traffic by protocol and destination port, after service translation (rule 2). */
export type PortMatch =
  /** Every protocol, ICMP included. */
  | { readonly kind: 'any' }
  /** Inclusive; 0–65535 is every port of the protocol. */
  | { readonly kind: 'range'; readonly protocol: TransportProtocol; readonly first: number; readonly last: number }
  /**
   * A name resolved on the destination workload, which must declare it with one of `protocols` (rules 17, 28, 48).
   * Compared in lower case: port names cannot differ in case only.
   */
  | { readonly kind: 'named'; readonly name: string; readonly protocols: readonly TransportProtocol[] }
  | { readonly kind: 'icmp'; readonly protocol: 'ICMP' | 'ICMPv6'; readonly type: number }
  /** A protocol without ports by IANA number (VRRP 112, IGMP 2). */
  | { readonly kind: 'protocol'; readonly number: number };

/**
 * Content rules of a clause (rules 50–54). `unsupported` is a demand that Palisade accepts as valid but cannot check
 * (TLS server names, listeners, mutual authentication): it fails closed, nothing passes by this clause.
 */
export type L7Clause =
  | { readonly kind: 'http'; readonly mode: L7Mode; readonly rules: readonly HttpMatch[] }
  | { readonly kind: 'dns'; readonly mode: L7Mode; readonly names: readonly FqdnSelector[] }
  | { readonly kind: 'unsupported'; readonly feature: string };

/** `hard`: whole messages parsed by the local HTTP parser. `soft`: packets judged in the kernel (datapath design). */
export type L7Mode = 'hard' | 'soft';

/** One HTTP rule as written: all given fields must match; regular expressions are RE2 over the whole value (rule 50). */
export type HttpMatch = Omit<HttpRule, 'ruleId'>;

/** `namespace/name` or `name`, with the kind: unique in a cluster, the sort key of a policy set. */
export function policyKey(policy: Pick<PolicyDocument, 'kind' | 'namespace' | 'name'>): string {
  return policy.namespace === undefined ? `${policy.kind}:${policy.name}` : `${policy.kind}:${policy.namespace}/${policy.name}`;
}

/** Where a rule stands in its policy, as references to it say it. */
export function placeOf(
  rule: Pick<PolicyRule, 'index' | 'section'>,
  block: Pick<PolicyBlock, 'spec'>,
): Pick<PolicyReference, 'index' | 'section' | 'spec'> {
  const { index, section } = rule;
  return {
    index,
    ...(section === 'ingressDeny' || section === 'egressDeny' ? { section } : {}),
    ...(block.spec === 0 ? {} : { spec: block.spec }),
  };
}
