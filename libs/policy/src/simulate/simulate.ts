/** Replays recorded flows on a candidate set of policies: what would have been judged differently. */

import { isDomainError } from '@palisade/errors';
import { PolicyEngine } from '../evaluate/engine.ts';
import type { ClusterFacts } from '../facts.ts';
import type { PolicySet } from '../policy-set.ts';
import type { Direction } from '../resolution.ts';
import type { DirectionVerdict, FlowEnd, FlowQuery, FlowVerdict } from '../verdict.ts';
import type { RecordedFlow } from './recorded-flow.ts';

export interface SimulateOptions {
  /** `all` (default): also policies in observe and shadow mode count as enforced, as the candidate would be. */
  readonly policies?: 'live' | 'all';
  /** Groups of changed flows that are kept; default 1,000. */
  readonly maxChanges?: number;
}

/** Flows between the same ends on the same port that would be judged differently, at one enforcement point. */
export interface SimulatedChange {
  readonly direction: Direction;
  readonly before: FlowVerdict;
  readonly after: FlowVerdict;
  readonly flow: FlowQuery;
  /** The candidate's answer, with the rules or policies behind it. */
  readonly verdict: DirectionVerdict;
  readonly weight: number;
  /** Ids of up to five of the flows. */
  readonly examples: readonly string[];
}

export interface Simulation {
  /** Sums of weights. */
  readonly replayed: number;
  readonly unchanged: number;
  /** Flows of ends that the facts no longer know; they are not judged. */
  readonly unresolved: number;
  /** Would-be denials first, then by weight. */
  readonly changes: readonly SimulatedChange[];
  /** Weight of changed flows beyond `maxChanges` groups. */
  readonly furtherChanged: number;
}

const MAX_EXAMPLES = 5;

/** Takes the flows one by one: memory grows with the number of changed groups, never with the number of flows. */
export function simulate(policies: PolicySet, facts: ClusterFacts, flows: Iterable<RecordedFlow>, options: SimulateOptions = {}): Simulation {
  const engine = new PolicyEngine(policies, facts, { policies: options.policies ?? 'all' });
  const maxChanges = options.maxChanges ?? 1000;
  const groups = new Map<string, SimulatedChange & { weight: number; examples: string[] }>();
  const sums = { replayed: 0, unchanged: 0, unresolved: 0, furtherChanged: 0 };
  for (const { flow, verdict: before, direction, weight, id } of flows) {
    sums.replayed += weight;
    const verdict = judge(engine, flow, direction);
    if (verdict === undefined) {
      sums.unresolved += weight;
      continue;
    }
    if (verdict.verdict === before) {
      sums.unchanged += weight;
      continue;
    }
    const key = JSON.stringify([direction, before, verdict.verdict, endKey(flow.source), endKey(flow.destination), flow.protocol, flow.port, flow.icmpType]);
    let group = groups.get(key);
    if (group === undefined && groups.size >= maxChanges) {
      sums.furtherChanged += weight;
      continue;
    }
    group ??= { direction, before, after: verdict.verdict, flow, verdict, weight: 0, examples: [] };
    groups.set(key, group);
    group.weight += weight;
    if (id !== undefined && group.examples.length < MAX_EXAMPLES) group.examples.push(id);
  }
  const changes = [...groups.values()].sort((a, b) => Number(b.after === 'deny') - Number(a.after === 'deny') || b.weight - a.weight);
  return { ...sums, changes };
}

function judge(engine: PolicyEngine, flow: FlowQuery, direction: Direction): DirectionVerdict | undefined {
  try {
    return engine.verdict(flow)[direction];
  } catch (error) {
    if (isDomainError(error, 'resource.not-found')) return undefined;
    throw error;
  }
}

function endKey(end: FlowEnd): string {
  return JSON.stringify(end);
}
