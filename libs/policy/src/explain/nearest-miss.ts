/** For a default deny: the rule that came closest to allowing, and what it lacked. */

import type { CompiledRule } from '../evaluate/compiled-policies.ts';
import { referenceOf } from '../evaluate/compiled-policies.ts';
import type { DirectedFlow } from '../evaluate/engine.ts';
import { compileRequirements } from '../labels.ts';
import type { Peer } from '../ir.ts';
import type { PolicyReference } from '../resolution.ts';
import { describeEnd, describePeer, describePorts, describeRequirement, describeTraffic, listed } from './describe.ts';

export interface NearestMiss {
  readonly rule: PolicyReference;
  /** A sentence: what would have to differ. */
  readonly because: string;
}

/** Undefined when there is no rule that could allow at all. */
export function nearestMiss(rules: readonly CompiledRule[], directed: DirectedFlow): NearestMiss | undefined {
  let best: { readonly distance: number; readonly compiled: CompiledRule } | undefined;
  for (const compiled of rules) {
    const distance = distanceOf(compiled, directed);
    if (best === undefined || distance < best.distance) best = { distance, compiled };
  }
  return best === undefined ? undefined : { rule: referenceOf(best.compiled), because: because(best.compiled, directed) };
}

function peerMatches({ peers }: CompiledRule, { peer, subject }: DirectedFlow): boolean {
  return peers.some((test) => test(peer, subject.node));
}

function portMatches({ clauses }: CompiledRule, { flow, destination }: DirectedFlow): boolean {
  return clauses.some(({ ports }) => ports.some((test) => test(flow, destination)));
}

/** A wrong port is one step away; a wrong peer as many as it misses labels; a rule that selects nobody is farthest. */
function distanceOf(compiled: CompiledRule, directed: DirectedFlow): number {
  const port = portMatches(compiled, directed) ? 0 : 1.5;
  if (peerMatches(compiled, directed)) return port;
  const misses = compiled.rule.peers.map((peer) => missingRequirements(peer, directed)?.length ?? 4);
  return port + (misses.length === 0 ? 10 : 1 + Math.min(...misses));
}

/** Of a selector: the requirements that the other end does not meet; undefined for other peers. */
function missingRequirements(peer: Peer, { peer: end }: DirectedFlow): string[] | undefined {
  if (peer.kind !== 'endpoints' || end.kind !== 'workload') return undefined;
  return peer.selector.requirements
    .filter((requirement) => !compileRequirements({ requirements: [requirement], localCluster: false })(end.labels))
    .map(describeRequirement);
}

function because(compiled: CompiledRule, directed: DirectedFlow): string {
  const { rule } = compiled;
  const parts: string[] = [];
  if (!peerMatches(compiled, directed)) parts.push(peerReason(rule.peers, directed));
  if (!portMatches(compiled, directed)) parts.push(`it is about ${describePorts(rule.ports)}, not ${describeTraffic(directed.flow)}`);
  return parts.length === 0 ? 'it matches, but its content rules refuse the request' : parts.join(', and ');
}

function peerReason(peers: readonly Peer[], directed: DirectedFlow): string {
  const who = describeEnd(directed.peer);
  if (peers.length === 0) return 'it names no peer, so it matches nobody';
  const misses = peers.map((peer) => missingRequirements(peer, directed)).filter((missing) => missing !== undefined);
  const closest = misses.sort((a, b) => a.length - b.length)[0];
  if (closest !== undefined && closest.length > 0) return `${who} lacks ${listed(closest, ' and ')}`;
  return `${who} is not among ${listed(peers.map(describePeer))}`;
}
