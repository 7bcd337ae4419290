import { createHash } from 'node:crypto';

/** The kinds of workload; one of each runs on every node. */
export const KINDS = ['frontend', 'backend', 'db'] as const;
export type Kind = (typeof KINDS)[number];

export interface WorkloadPlan {
  readonly kind: Kind;
  /** `frontend-1`: unique in the demo. */
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  /** Where its HTTP server listens. */
  readonly port: number;
  /** The node's end of its veth pair: what the agent attaches to. */
  readonly hostInterface: string;
}

export interface NodePlan {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  /** The router's end of the link. */
  readonly via: string;
  readonly podRange: string;
  readonly workloads: readonly WorkloadPlan[];
}

/** All names and addresses of one demo cluster. */
export interface NetworkPlan {
  /** Tells this stack's namespaces and interfaces from those of another checkout. */
  readonly id: string;
  readonly router: { readonly namespace: string; readonly address: string };
  /** This machine's end: where agents reach the gateway. */
  readonly host: { readonly interface: string; readonly address: string; readonly range: string };
  readonly nodes: readonly NodePlan[];
  /** A ClusterIP-style address; each node translates it to one of the backends. */
  readonly service: { readonly name: string; readonly address: string; readonly port: number };
}

/** Six hex digits that differ between state folders, hence between checkouts. */
export function stackId(stateDir: string): string {
  return createHash('sha256').update(stateDir).digest('hex').slice(0, 6);
}

const PORTS: Readonly<Record<Kind, number>> = { frontend: 8080, backend: 8080, db: 5432 };

/** There are 512 places for a demo on one machine: the /24 ranges of 198.18.0.0/15, which is set aside for tests (RFC 2544). */
export const SLOTS = 512;

/**
 * Lays out the demo.
 *
 * @param slot 0 … 511: which /24 the machine, the router and the nodes share.
 *   Workload addresses are the same in every demo; nothing outside routes them.
 */
export function planNetwork(id: string, slot: number): NetworkPlan {
  const net = `198.${18 + (slot >> 8)}.${slot & 255}`;
  const name = (part: string) => `palisade-${id}-${part}`;
  return {
    id,
    router: { namespace: name('router'), address: `${net}.2` },
    host: { interface: `pal-${id}`, address: `${net}.1`, range: `${net}.0/24` },
    nodes: [1, 2].map((n) => ({
      name: `node-${n}`,
      namespace: name(`node-${n}`),
      address: `${net}.${4 * n + 2}`,
      via: `${net}.${4 * n + 1}`,
      podRange: `10.77.${n}.0/24`,
      workloads: KINDS.map((kind, index) => ({
        kind,
        name: `${kind}-${n}`,
        namespace: name(`${kind}-${n}`),
        address: `10.77.${n}.${10 + index}`,
        port: PORTS[kind],
        hostInterface: `veth-${kind}`,
      })),
    })),
    service: { name: 'backend', address: '10.96.0.10', port: 80 },
  };
}

/** The slot a stack tries first. */
export function preferredSlot(id: string): number {
  return Number.parseInt(id, 16) % SLOTS;
}

export function workloadsOf(plan: NetworkPlan): readonly WorkloadPlan[] {
  return plan.nodes.flatMap((node) => node.workloads);
}
