/**
 * `fromRequires` and `toRequires` of Cilium up to 1.18 (rule 47): requirements on every endpoint selector of all rules
 * that apply to an endpoint, whichever policy they are in. The IR has no such thing, so blocks are split by subject:
 * endpoints that some requirement concerns get narrowed peers, the others keep theirs.
 */

import type { Direction, LabelRequirement, Peer, PolicyBlock, PolicyDocument } from '@palisade/policy';

export interface Requires {
  readonly direction: Direction;
  /** Endpoints concerned. */
  readonly subject: readonly LabelRequirement[];
  /** What their peers must meet besides. */
  readonly requirements: readonly LabelRequirement[];
}

export function applyRequires(policies: readonly PolicyDocument[], requires: readonly Requires[]): PolicyDocument[] {
  return policies.map((policy) => {
    if (!policy.kind.startsWith('Cilium')) return policy;
    const blocks = requires.reduce<readonly PolicyBlock[]>((split, one) => split.flatMap((block) => splitBlock(block, one)), policy.blocks);
    return { ...policy, blocks };
  });
}

function splitBlock(block: PolicyBlock, { direction, subject, requirements }: Requires): PolicyBlock[] {
  if (block.direction !== direction || block.subject.kind !== 'endpoints') return [block];
  const rules = block.rules.map((rule) => ({ ...rule, peers: rule.peers.map((peer) => narrowed(peer, requirements)) }));
  // Everybody else, as disjoint subjects: not a; a and not b; a, b and not c.
  const others = subject.map((requirement, i) => withSubject(block, [...subject.slice(0, i), negated(requirement)]));
  return [{ ...withSubject(block, subject), rules }, ...others];
}

function narrowed(peer: Peer, requirements: readonly LabelRequirement[]): Peer {
  return peer.kind === 'endpoints'
    ? { ...peer, selector: { ...peer.selector, requirements: [...peer.selector.requirements, ...requirements] } }
    : peer;
}

function withSubject(block: PolicyBlock, extra: readonly LabelRequirement[]): PolicyBlock {
  const { selector } = block.subject;
  return { ...block, subject: { ...block.subject, selector: { ...selector, requirements: [...selector.requirements, ...extra] } } };
}

const NEGATION = { in: 'not-in', 'not-in': 'in', exists: 'not-exists', 'not-exists': 'exists' } as const;

function negated(requirement: LabelRequirement): LabelRequirement {
  return { ...requirement, operator: NEGATION[requirement.operator] };
}
