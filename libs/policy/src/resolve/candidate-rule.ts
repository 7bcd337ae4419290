/** Policies prepared for resolving: blocks with their subject tests, rules with their ports as intervals. */

import { policyKey, type PolicyBlock, type PolicyDocument, type PolicyRule, type PortMatch } from '../ir.ts';
import { compileRequirements, NAMESPACE_KEY, type LabelView } from '../labels.ts';
import { PROTOCOL_NUMBER, type PolicyReference } from '../resolution.ts';
import type { PeerAtom } from './peer-atom.ts';

/** One interval of ports; `protocol` 0 is every protocol. */
export interface PortInterval {
  readonly protocol: number;
  readonly first: number;
  readonly last: number;
  /** Index into `PolicyRule.ports`. */
  readonly clause: number;
}

export interface NamedInterval {
  readonly name: string;
  readonly protocols: readonly string[];
  readonly clause: number;
}

export interface CandidateRule {
  /** Never reused within one resolver. */
  readonly uid: number;
  readonly block: CandidateBlock;
  readonly rule: PolicyRule;
  readonly intervals: readonly PortInterval[];
  readonly named: readonly NamedInterval[];
  /** Matches everybody. */
  readonly anyPeer: boolean;
  /** Distinct peers, empty where `anyPeer`; filled while some local endpoint is concerned. */
  atoms: readonly PeerAtom[];
  /** Rule sets of local endpoints that hold it. */
  uses: number;
}

export interface CandidateBlock {
  readonly uid: number;
  readonly policy: PolicyDocument;
  readonly key: string;
  readonly block: PolicyBlock;
  /** Position in the policy. */
  readonly position: number;
  /** Policy of mode `observe`: it never denies, it reports. */
  readonly observed: boolean;
  /** Selects in one or few namespaces by name: such blocks come first where order has no meaning. */
  readonly namespaceBound: boolean;
  readonly selects: (labels: LabelView) => boolean;
  readonly rules: readonly CandidateRule[];
}

/** Numbers blocks and rules as it prepares them. */
export class CandidateCompiler {
  private nextUid = 1;

  /** `everyMode`: all modes count as `enforce`. */
  compile(policy: PolicyDocument, everyMode: boolean): CandidateBlock[] {
    const key = policyKey(policy);
    return policy.blocks.map((block, position) => {
      const rules: CandidateRule[] = [];
      const candidate: CandidateBlock = {
        uid: this.nextUid++,
        policy,
        key,
        block,
        position,
        observed: !everyMode && policy.mode === 'observe',
        namespaceBound: block.subject.selector.requirements.some((requirement) => requirement.key === `k8s:${NAMESPACE_KEY}` && requirement.operator === 'in'),
        selects: compileRequirements(block.subject.selector),
        rules,
      };
      for (const rule of block.rules) rules.push(this.compileRule(candidate, rule));
      return candidate;
    });
  }

  private compileRule(block: CandidateBlock, rule: PolicyRule): CandidateRule {
    const intervals: PortInterval[] = [];
    const named: NamedInterval[] = [];
    rule.ports.forEach(({ ports }, clause) => {
      for (const match of ports) {
        if (match.kind === 'named') named.push({ name: match.name.toLowerCase(), protocols: match.protocols, clause });
        else intervals.push({ ...intervalOf(match), clause });
      }
    });
    const anyPeer = rule.peers.some((peer) => peer.kind === 'any' || (peer.kind === 'entity' && peer.entity === 'all'));
    return { uid: this.nextUid++, block, rule, intervals, named, anyPeer, atoms: [], uses: 0 };
  }
}

function intervalOf(match: Exclude<PortMatch, { kind: 'named' }>): Omit<PortInterval, 'clause'> {
  switch (match.kind) {
    case 'any':
      return { protocol: 0, first: 0, last: 0xffff };
    case 'range':
      return { protocol: PROTOCOL_NUMBER[match.protocol], first: match.first, last: match.last };
    case 'icmp':
      return { protocol: PROTOCOL_NUMBER[match.protocol], first: match.type, last: match.type };
    case 'protocol':
      return { protocol: match.number, first: 0, last: 0xffff };
  }
}

/** The order in which the evaluator asks blocks of one tier; total, and independent of when a policy was added. */
export function compareBlocks(a: CandidateBlock, b: CandidateBlock): number {
  if (a.block.tier !== 'normal') {
    return a.block.priority - b.block.priority || compareText(a.key, b.key) || a.block.spec - b.block.spec || a.position - b.position;
  }
  return Number(b.namespaceBound) - Number(a.namespaceBound) || compareText(a.key, b.key) || a.position - b.position;
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function blockReference({ policy, block }: CandidateBlock): PolicyReference {
  return {
    kind: policy.kind,
    ...(policy.namespace === undefined ? {} : { namespace: policy.namespace }),
    name: policy.name,
    revision: policy.revision,
    tier: block.tier,
  };
}
