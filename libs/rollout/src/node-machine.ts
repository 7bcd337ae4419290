/**
 * The life of one node in one rollout (trust-and-fleet §3):
 * PENDING → OFFERED(lease) → VERIFIED → LOADED → HEALTHY | FAILED | TIMED_OUT | REVERTED | SKIPPED_OFFLINE | SUPERSEDED.
 */

export const NODE_ROLLOUT_STATES = [
  'pending',
  'offered',
  'verified',
  'loaded',
  'healthy',
  'failed',
  'timed_out',
  'reverted',
  'skipped_offline',
  'superseded',
] as const;
export type NodeRolloutState = (typeof NODE_ROLLOUT_STATES)[number];

/** Offered and not settled: these hold a lease and count as unknown until they speak. */
export const IN_FLIGHT_NODE_STATES: readonly NodeRolloutState[] = ['offered', 'verified', 'loaded'];

/** Ordered by epoch, then n. Strictly monotonic per cluster. */
export interface Generation {
  readonly epoch: number;
  readonly n: number;
}

export function compareGenerations(a: Generation, b: Generation): number {
  return a.epoch - b.epoch || a.n - b.n;
}

/** What a node said of itself at a check-in, in the words of `Observed` on the wire. */
export interface NodeReport {
  /** The running generation and digest, read back from the node's kernel. */
  readonly generation: Generation | null;
  readonly contentDigest: string;
  readonly state: 'none' | 'verified' | 'loaded' | 'healthy' | 'failed' | 'reverted';
  /** The generation that `state` and `reason` speak of, where it is not the running one. */
  readonly subjectGeneration: Generation | null;
  readonly reason: string;
}

/** What the rollout wants the node to run. */
export interface NodeTarget {
  readonly generation: Generation;
  readonly contentDigest: string;
}

export interface NodeProgress {
  readonly state: NodeRolloutState;
  /** Unix ms; set while in flight. */
  readonly leaseUntilMs: number | null;
  readonly reason: string | null;
}

export type NodeEvent =
  | { readonly kind: 'offer'; readonly leaseMs: number }
  | { readonly kind: 'report'; readonly report: NodeReport; readonly target: NodeTarget; readonly leaseMs: number }
  | { readonly kind: 'tick' }
  | { readonly kind: 'skip-offline' }
  /** The node was locked or revoked: it is told nothing any more. */
  | { readonly kind: 'quarantine'; readonly state: 'locked' | 'revoked' }
  | { readonly kind: 'withdraw' }
  | { readonly kind: 'supersede' };

export type NodeDecision =
  /** The report says nothing new about this rollout, or comes too late: keep it as history only. */
  { readonly kind: 'record-only'; readonly why: string };

export interface NodeTransition {
  readonly progress: NodeProgress;
  readonly decisions: readonly NodeDecision[];
}

const RANK: Readonly<Partial<Record<NodeRolloutState, number>>> = { pending: 0, offered: 1, verified: 2, loaded: 3, healthy: 4 };

/** The node's next progress. Never moves a settled node on good news: late reports are recorded, never applied. */
export function transitionNode(node: NodeProgress, event: NodeEvent, nowMs: number): NodeTransition {
  switch (event.kind) {
    case 'offer':
      return node.state === 'pending' || node.state === 'timed_out' ? move('offered', nowMs + event.leaseMs) : keep(node, `it is ${node.state}`);
    case 'report':
      return applyReport(node, event, nowMs);
    case 'tick':
      return expireLease(node, nowMs);
    case 'skip-offline':
      return node.state === 'pending' ? move('skipped_offline', null, 'The node was offline when its wave opened.') : keep(node, `it is ${node.state}`);
    case 'quarantine':
      return node.state === 'pending' || node.state === 'timed_out' || inFlight(node.state)
        ? move('skipped_offline', null, `The node is ${event.state}: it holds no place in the rollout and is told nothing.`)
        : keep(node, `it is ${node.state}`);
    case 'withdraw':
      return node.state === 'offered' ? move('pending', null) : keep(node, `it is ${node.state}`);
    case 'supersede':
      return node.state === 'pending' || inFlight(node.state) ? move('superseded', null, 'A newer rollout took this node.') : keep(node, `it is ${node.state}`);
  }
}

function applyReport(node: NodeProgress, event: Extract<NodeEvent, { kind: 'report' }>, nowMs: number): NodeTransition {
  const { report, target } = event;
  const verdict = readReport(report, target);
  if (verdict === null) return keep(node, 'the report does not speak of this generation');
  const bad = verdict.state === 'failed' || verdict.state === 'reverted';
  // A node that was healthy and then fell back is evidence of harm, so bad news about it still counts.
  if (bad && (inFlight(node.state) || node.state === 'healthy')) return move(verdict.state, null, verdict.reason);
  if (!inFlight(node.state)) return keep(node, `it is ${node.state}`);
  if ((RANK[verdict.state] ?? 0) <= (RANK[node.state] ?? 0)) return keep(node, `it is already ${node.state}`);
  return move(verdict.state, verdict.state === 'healthy' ? null : nowMs + event.leaseMs);
}

/**
 * What the report means for the target: HEALTHY only when the digest that is *running* is the target's. A node that
 * claims the generation with another digest has failed, whatever state it claims.
 */
function readReport(report: NodeReport, target: NodeTarget): { state: NodeRolloutState; reason: string | null } | null {
  const running = report.generation !== null && compareGenerations(report.generation, target.generation) === 0;
  const subject = report.subjectGeneration ?? report.generation;
  const speaksOfTarget = subject !== null && compareGenerations(subject, target.generation) === 0;
  if (speaksOfTarget && (report.state === 'failed' || report.state === 'reverted')) {
    return { state: report.state, reason: report.reason || `The node reported ${report.state} and gave no reason.` };
  }
  if (running && report.contentDigest !== target.contentDigest && report.state !== 'verified') {
    return { state: 'failed', reason: `The node runs digest ${report.contentDigest || '(none)'} under generation ${target.generation.epoch}.${target.generation.n}; the signed content is ${target.contentDigest}.` };
  }
  if (running && report.state === 'healthy') return { state: 'healthy', reason: null };
  if (running && report.state === 'loaded') return { state: 'loaded', reason: null };
  if (speaksOfTarget && report.state === 'verified') return { state: 'verified', reason: null };
  return speaksOfTarget && report.state === 'loaded' ? { state: 'loaded', reason: null } : null;
}

function expireLease(node: NodeProgress, nowMs: number): NodeTransition {
  if (!inFlight(node.state) || node.leaseUntilMs === null || nowMs < node.leaseUntilMs) return keep(node, 'its lease runs');
  return move('timed_out', null, `The node said nothing more after ${node.state} within its lease.`);
}

function inFlight(state: NodeRolloutState): boolean {
  return IN_FLIGHT_NODE_STATES.includes(state);
}

function move(state: NodeRolloutState, leaseUntilMs: number | null, reason: string | null = null): NodeTransition {
  return { progress: { state, leaseUntilMs, reason }, decisions: [] };
}

function keep(progress: NodeProgress, why: string): NodeTransition {
  return { progress, decisions: [{ kind: 'record-only', why }] };
}
