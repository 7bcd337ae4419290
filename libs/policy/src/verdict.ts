/** What one asks the engine, and what it answers. Plain JSON both ways. */

import type { Protocol } from './facts.ts';
import type { Entity } from './ir.ts';
import type { Direction, EntryVerdict, PolicyReference } from './resolution.ts';

/** One end of a flow. */
export type FlowEnd =
  /** `WorkloadFact.key`. */
  | { readonly workload: string }
  /** `NodeFact.name`. */
  | { readonly node: string }
  /**
   * Whoever holds the address in `network` (absent: `default`), else the outside world. `names`: DNS names by which the
   * source learned it.
   */
  | { readonly address: string; readonly network?: string; readonly names?: readonly string[] }
  /** A reserved end without a fact of its own; `host` is the other end's own node. */
  | { readonly entity: Exclude<Entity, 'all' | 'cluster' | 'none'>; readonly address?: string };

export interface HttpRequest {
  readonly method: string;
  /** With the query string. */
  readonly path: string;
  readonly host: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A connection, or one request on it. `port` is the destination port after service translation. */
export interface FlowQuery {
  readonly source: FlowEnd;
  readonly destination: FlowEnd;
  readonly protocol: Protocol;
  /** TCP, UDP and SCTP. */
  readonly port?: number;
  /** ICMP and ICMPv6. */
  readonly icmpType?: number;
  readonly http?: HttpRequest;
  readonly dns?: { readonly query: string };
}

/** `audit`: policy would have dropped it, it passes and is reported (rule 56, and policies in mode `observe`). */
export type FlowVerdict = 'allow' | 'deny' | 'audit';

export interface Verdict {
  /** `deny` when one end denies; otherwise `audit` when one end audits (rule 1). */
  readonly verdict: FlowVerdict;
  readonly egress: DirectionVerdict;
  readonly ingress: DirectionVerdict;
}

export interface DirectionVerdict {
  readonly direction: Direction;
  readonly verdict: FlowVerdict;
  /** What the connection itself gets: `l7` when its content is judged (before `http` or `dns` of the query). */
  readonly connection: EntryVerdict;
  readonly reason: VerdictReason;
  /** The rules that decided, or for `default-deny` the policies that isolate the endpoint. */
  readonly policies: readonly PolicyReference[];
  /** Id of the (first) deciding rule or of the default deny; 0 where no rule decided. */
  readonly ruleId: number;
  /** `log.value` of the deciding rules. */
  readonly log?: string;
}

/**
 * - `rule`: `policies` holds the deciding rules
 * - `default-deny`: isolated and no rule matched
 * - `isolated-without-policy`: an initializing endpoint, or enforcement mode `always` (rule 39)
 * - `l7-denied`: the connection passes, the request matches none of the rules in `policies`
 * - `default-allow`: nothing restricts this endpoint in this direction for this peer
 * - `own-node`: isolated, or allowed by content rules only, but the peer is the endpoint's own node (rules 9, 51)
 * - `own-address`: the pod talks to itself (rule 4)
 * - `not-enforced`: this end is no policy subject (rule 1)
 * - `conflict`: different L7 protocols meet on this peer and port; fails closed (rule 53)
 */
export type VerdictReason =
  | 'rule'
  | 'default-deny'
  | 'isolated-without-policy'
  | 'l7-denied'
  | 'default-allow'
  | 'own-node'
  | 'own-address'
  | 'not-enforced'
  | 'conflict';
