/**
 * What `resolve` gives the datapath, and the one lookup rule both sides obey.
 *
 * Lookup (the kernel program and `lookupVerdict` do exactly this). For a packet of direction D whose peer has
 * class C, protocol number P and destination port N (ICMP: the type; protocols without ports: 0):
 *
 *   for peer in [C, ANY_CLASS]:
 *     for len in the prefix lengths the endpoint uses in D, longest first:
 *       entry (D, peer, P, len, N with its low 16 - len bits cleared)   → found: decides
 *     entry (D, peer, protocol 0, len 0, port 0)                        → found: decides
 *   no entry: the endpoint is not restricted in D (allow)
 *
 * The resolver flattens precedence (tiers, deny over allow, overlapping ranges) so that the first entry found is the
 * answer; a class that has no entry of its own falls through to ANY_CLASS. An isolated endpoint has the entry
 * (D, ANY_CLASS, 0, 0, 0) → deny. A packet with no prefix length in use for P still tries the protocol-0 entry.
 *
 * An endpoint's traffic with its own address (rule 4) has no entries: it never crosses the hook, and a hook that sees
 * equal source and destination addresses does not ask. Both families of the outside report the identity `world` (2),
 * the API server outside the cluster `kube-apiserver` (7). Class numbers are any u32 ≥ 1, derived from what the class
 * is, so that they stay the same while other classes come and go.
 */

import type { Protocol } from './facts.ts';

/** Peer class that stands for every class without an entry of its own. Real classes start at 1. */
export const ANY_CLASS = 0;

export type Direction = 'ingress' | 'egress';
export type EntryVerdict = 'allow' | 'deny' | 'audit' | 'l7';

/** IANA protocol numbers of the protocols that policies can name; 0 stands for any. */
export const PROTOCOL_NUMBER: Readonly<Record<Protocol, number>> = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 };

export interface PolicyEntry {
  readonly direction: Direction;
  readonly peerClass: number;
  /** IANA number, 0 = any. */
  readonly protocol: number;
  /** Port with the bits below the prefix cleared; 0 where `portPrefixLength` is 0. */
  readonly port: number;
  /** 0 (every port) to 16 (this port). */
  readonly portPrefixLength: number;
  /** `audit`: would be denied, passes and is reported. `l7`: handed to the rules in `l7Rules[l7]`. */
  readonly verdict: EntryVerdict;
  /** Key of `ResolvedNode.rules`; 0 = no rule (default allow). */
  readonly ruleId: number;
  /** Index into `ResolvedNode.l7Rules` where verdict is `l7`. */
  readonly l7?: number;
  /** The rule asked to log (Cilium `log.value`). */
  readonly log?: boolean;
}

/** The rule, or for a default deny the selecting policies, behind a verdict. Stable for one IR content. */
export interface RuleReference {
  readonly ruleId: number;
  readonly kind: 'rule' | 'default-deny';
  readonly direction: Direction;
  /** One reference for a rule; for a default deny every policy that isolates the endpoint. */
  readonly policies: readonly PolicyReference[];
}

export interface PolicyReference {
  /** Kubernetes kind: NetworkPolicy, CiliumNetworkPolicy, … */
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly revision: number;
  /** Position of the rule in its list; absent on a default deny. */
  readonly index?: number;
  /** The list, where it is not the one named like the direction. */
  readonly section?: 'ingressDeny' | 'egressDeny';
  /** Index of the spec among several of one object; absent for the first. */
  readonly spec?: number;
  /** Admin | Normal | Baseline. */
  readonly tier?: 'admin' | 'normal' | 'baseline';
}

/** Address (or prefix) → class and identity. Longest prefix wins. FQDN-learned addresses are added by the datapath. */
export interface AddressClass {
  readonly network: string;
  /** Canonical CIDR, `10.0.0.5/32`, `::/0`. */
  readonly cidr: string;
  readonly peerClass: number;
  readonly identity: number;
}

/** Names a DNS answer may bind, and the class an address takes that holds exactly these selectors. */
export interface FqdnBinding {
  /** Selector patterns by index, as written in the policy, lower case. */
  readonly selectors: readonly FqdnSelector[];
  /**
   * `selectors` sorted ascending → class of an outside address that was learned for all of them (and its CIDR class).
   * A combination that is not listed takes the largest listed subset of it: names only ever allow.
   */
  readonly classes: readonly { readonly baseClass: number; readonly selectors: readonly number[]; readonly peerClass: number }[];
}

export interface FqdnSelector {
  readonly kind: 'name' | 'pattern';
  readonly value: string;
}

export interface ResolvedEndpoint {
  /** `WorkloadFact.key`, or `node/<name>` for the host itself. */
  readonly key: string;
  readonly identity: number;
  /** Sorted: direction, peerClass, protocol, portPrefixLength descending, port. */
  readonly entries: readonly PolicyEntry[];
  /** Content digest of `entries` (hex); equal digest ⇒ equal entries. */
  readonly digest: string;
}

export interface ResolvedNode {
  readonly node: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly endpoints: readonly ResolvedEndpoint[];
  readonly addresses: readonly AddressClass[];
  readonly fqdn: FqdnBinding;
  readonly l7Rules: readonly L7RuleSet[];
  /** ruleId → reference, for every id that occurs in an entry. */
  readonly rules: Readonly<Record<number, RuleReference>>;
  /** Content digest of all of the above except the revisions (hex). */
  readonly digest: string;
}

export interface L7RuleSet {
  readonly mode: 'hard' | 'soft';
  readonly http?: readonly HttpRule[];
  /** DNS names a query may ask for. */
  readonly dns?: readonly FqdnSelector[];
}

export interface HttpRule {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: readonly { readonly name: string; readonly value?: string; readonly mismatch?: 'LOG' | 'ADD' | 'DELETE' | 'REPLACE' }[];
  readonly ruleId: number;
}
