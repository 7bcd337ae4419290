/** Why a flow gets its verdict, as data and as text. */

import { blockReference, type SubjectRules } from '../evaluate/compiled-policies.ts';
import type { DirectedFlow, PolicyEngine } from '../evaluate/engine.ts';
import type { Direction, PolicyReference } from '../resolution.ts';
import type { DirectionVerdict, FlowQuery, FlowVerdict } from '../verdict.ts';
import { describeEnd, describeReference, describeTraffic, listed } from './describe.ts';
import { nearestMiss, type NearestMiss } from './nearest-miss.ts';

export interface Explanation {
  readonly verdict: FlowVerdict;
  /** The whole flow in one sentence. */
  readonly summary: string;
  readonly egress: DirectionExplanation;
  readonly ingress: DirectionExplanation;
}

export interface DirectionExplanation extends DirectionVerdict {
  /** The end whose policy is asked here, in words. */
  readonly subject: string;
  readonly peer: string;
  /** Why, in one sentence. */
  readonly because: string;
  /** Every policy that has rules for the subject in this direction, or isolates it. */
  readonly selectedBy: readonly PolicyReference[];
  /** On a default deny: the rule that came closest. */
  readonly nearest?: NearestMiss;
}

/** Throws like `PolicyEngine.verdict`. */
export function explain(engine: PolicyEngine, flow: FlowQuery): Explanation {
  const verdict = engine.verdict(flow);
  const directed = engine.directed(flow);
  const egress = explainDirection(engine, directed.egress, verdict.egress);
  const ingress = explainDirection(engine, directed.ingress, verdict.ingress);
  const words = { allow: 'is allowed', deny: 'is denied', audit: 'passes and is reported: policy would deny it' };
  const summary = `${egress.subject} to ${ingress.subject}, ${describeTraffic(flow)}, ${words[verdict.verdict]}.`;
  return { verdict: verdict.verdict, summary, egress, ingress };
}

function explainDirection(engine: PolicyEngine, directed: DirectedFlow, verdict: DirectionVerdict): DirectionExplanation {
  const rules = engine.rulesFor(directed.subject, directed.direction);
  const refused = verdict.reason === 'default-deny' || verdict.reason === 'isolated-without-policy';
  const nearest = refused && rules !== undefined ? nearestMiss(rules.allows, directed) : undefined;
  const subject = describeEnd(directed.subject);
  const peer = describeEnd(directed.peer);
  return {
    ...verdict,
    subject,
    peer,
    because: because(verdict, subject, peer),
    selectedBy: rules === undefined ? [] : selecting(rules),
    ...(nearest === undefined ? {} : { nearest }),
  };
}

function selecting(rules: SubjectRules): PolicyReference[] {
  const blocks = [
    ...[...rules.admin, ...rules.denies, ...rules.allows, ...rules.baseline].map(({ policy, block }) => blockReference(policy, block)),
    ...rules.isolating.map(({ reference }) => reference),
  ];
  return [...new Map(blocks.map((reference) => [describeReference(reference), reference])).values()];
}

function because({ reason, verdict, direction, policies }: DirectionVerdict, subject: string, peer: string): string {
  const who = listed(policies.map(describeReference), ' and ');
  const decided = verdict === 'allow' ? 'allows it' : 'denies it';
  switch (reason) {
    case 'rule':
      return `${who} ${decided}.`;
    case 'default-deny':
      return `${subject} is isolated for ${direction} by ${who}, and no rule allows ${peer}.`;
    case 'isolated-without-policy':
      return `${subject} is isolated for ${direction} without any policy (initializing, or the cluster enforces always), and no rule allows ${peer}.`;
    case 'l7-denied':
      return `The connection is allowed, but the request matches no content rule of ${who}.`;
    case 'conflict':
      return `${who} ask for different content protocols on the same peer and port, so it is refused: keep one protocol.`;
    case 'default-allow':
      return `Nothing restricts ${subject} for ${direction} ${direction === 'ingress' ? 'from' : 'to'} ${peer}.`;
    case 'own-node':
      return `Traffic from the own node passes although ${subject} is isolated: no rule denies it.`;
    case 'own-address':
      return `${subject} talks to itself, which no policy restricts.`;
    case 'not-enforced':
      return `No policy applies at ${subject} for ${direction}.`;
  }
}

/** The explanation as lines of text. */
export function renderExplanation({ summary, egress, ingress }: Explanation): string {
  return [summary, ...renderDirection('egress', egress), ...renderDirection('ingress', ingress)].join('\n');
}

function renderDirection(direction: Direction, explained: DirectionExplanation): string[] {
  const lines = [
    `  ${direction} at ${explained.subject}: ${explained.verdict}${explained.connection === 'l7' ? ' (content is inspected)' : ''}`,
    `    ${explained.because}`,
  ];
  if (explained.selectedBy.length > 0) lines.push(`    Selected by: ${listed(explained.selectedBy.map(describeReference), '; ')}`);
  if (explained.nearest !== undefined)
    lines.push(`    Nearest rule: ${describeReference(explained.nearest.rule)} did not match because ${explained.nearest.because}.`);
  if (explained.log !== undefined) lines.push(`    Log: ${explained.log}`);
  return lines;
}
