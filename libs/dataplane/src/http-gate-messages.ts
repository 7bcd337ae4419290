/**
 * What the agent and the HTTP gate of its node say to each other: one JSON object a line over a UNIX socket that the agent
 * listens on. The gate knows no policy of its own: it asks for every connection, and again after every change of policy.
 */

import type { L7RuleSet } from '@palisade/policy';
import { GATE_PORT_FIRST, GATE_PORT_SHIFT } from './abi/constants.ts';

export interface TcpEnd {
  readonly address: string;
  readonly port: number;
}

/** A TCP connection by its real ends. */
export interface TcpConnection {
  readonly client: TcpEnd;
  readonly server: TcpEnd;
}

/**
 * The port that the gate has towards a server in the name of a client, and the other way round (bpf/lib/gate_ports.h). Two
 * connections with the same ends would be one for whoever tracks connections. Ports at the edges stay as they are.
 */
export function gatePort(port: number): number {
  const middle = GATE_PORT_FIRST + GATE_PORT_SHIFT;
  if (port < GATE_PORT_FIRST || port >= middle + GATE_PORT_SHIFT) return port;
  return port < middle ? port + GATE_PORT_SHIFT : port - GATE_PORT_SHIFT;
}

/** What the kernel says about the connection at one local endpoint. */
export interface GateContext {
  readonly endpointSlot: number;
  readonly direction: 'ingress' | 'egress';
  /** `rules`: requests must match one of the HTTP rules that `generation` and `rules` name; `pass`: this end looks at no content. */
  readonly verdict: 'rules' | 'pass' | 'deny';
  /** Datapath generation under which the kernel took the verdict. */
  readonly generation: number;
  /** Index into the rule sets of that generation. */
  readonly rules: number;
  readonly ruleId: number;
  readonly peerIdentity: number;
}

/** From the agent. */
export type AgentMessage =
  /** The rule sets of a generation that is now in force. Those of the generation before still count for connections that have been quiet. */
  | { readonly kind: 'policy'; readonly number: number; readonly generation: number; readonly ruleSets: readonly L7RuleSet[] }
  | { readonly kind: 'context'; readonly id: number; readonly contexts: readonly GateContext[] };

/** One request, as it was decided. */
export interface GateAccess {
  readonly connection: TcpConnection;
  readonly contexts: readonly GateContext[];
  readonly method: string;
  /** Normal form, without query string. */
  readonly path: string;
  readonly host: string;
  /** The answer's; of the gate itself where it refused. 0: none came. */
  readonly status: number;
  readonly allowed: boolean;
  /** The rule that allowed it; 0 where none did. */
  readonly ruleId: number;
  /** CLOCK_MONOTONIC, nanoseconds, as text. */
  readonly startedNs: string;
  readonly endedNs: string;
}

/** From the gate. */
export type GateMessage =
  | { readonly kind: 'hello'; readonly port4: number; readonly port6: number }
  /** The policy message `number` is what requests are judged by from now on. */
  | { readonly kind: 'applied'; readonly number: number }
  | { readonly kind: 'ask'; readonly id: number; readonly connection: TcpConnection }
  | { readonly kind: 'access'; readonly access: GateAccess }
  /** Accesses that could not be told. */
  | { readonly kind: 'lost'; readonly count: number };

/** A line may not be longer, in bytes. */
export const MAX_GATE_LINE = 16 * 1024 * 1024;
