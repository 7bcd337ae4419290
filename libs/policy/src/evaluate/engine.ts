/** The verdict: tiers in order, deny over allow, isolation, content (rules 1–9, 21–23, 37–40, 51–56). */

import type { ClusterFacts } from '../facts.ts';
import type { PolicyMode, PolicyDocument } from '../ir.ts';
import type { PolicySet } from '../policy-set.ts';
import type { Direction, EntryVerdict } from '../resolution.ts';
import { wantedDefaultDenyId } from '../rule-id.ts';
import type { DirectionVerdict, FlowQuery, FlowVerdict, Verdict, VerdictReason } from '../verdict.ts';
import { CompiledPolicies, referenceOf, type CompiledClause, type CompiledRule, type SubjectRules } from './compiled-policies.ts';
import { ClusterIndex, type End } from './ends.ts';
import { isOwnNode } from './peer-match.ts';

/** Both ends of a flow resolved, as one direction sees them. */
export interface DirectedFlow {
  readonly direction: Direction;
  readonly subject: End;
  readonly peer: End;
  readonly destination: End;
  readonly flow: FlowQuery;
}

/** Which policies take part: those that decide now, or also those on trial. */
export interface EngineOptions {
  /** `live` (default): `enforce` decides, `observe` audits. `all`: every mode counts as `enforce`. */
  readonly policies?: 'live' | 'all';
}

/**
 * Answers verdict queries on one policy set and one view of the cluster. Building it is cheap; the first question about an
 * identity collects its rules, later ones reuse them. Not for changing facts: build a new one.
 */
export class PolicyEngine {
  readonly index: ClusterIndex;
  private readonly enforced: CompiledPolicies;
  /** With policies in mode `observe`; absent when there are none. */
  private readonly observed: CompiledPolicies | undefined;
  private readonly facts: ClusterFacts;

  constructor(set: PolicySet, facts: ClusterFacts, options: EngineOptions = {}) {
    this.facts = facts;
    this.index = new ClusterIndex(facts);
    const inMode = (...modes: readonly PolicyMode[]): PolicyDocument[] => set.policies.filter(({ mode }) => modes.includes(mode));
    const everything = options.policies === 'all';
    this.enforced = new CompiledPolicies(everything ? set.policies : inMode('enforce'), facts, this.index);
    const hasObserved = !everything && set.policies.some(({ mode }) => mode === 'observe');
    this.observed = hasObserved ? new CompiledPolicies(inMode('enforce', 'observe'), facts, this.index) : undefined;
  }

  /** Throws `resource.not-found` for unknown workloads and nodes, `request.invalid` for malformed addresses. */
  verdict(flow: FlowQuery): Verdict {
    const { egress, ingress } = this.directed(flow);
    return combine(this.judge(egress), this.judge(ingress));
  }

  /** The flow as its two enforcement points see it. */
  directed(flow: FlowQuery): Readonly<Record<Direction, DirectedFlow>> {
    const source = this.index.end(flow.source, flow.destination);
    const destination = this.index.end(flow.destination, flow.source);
    return {
      egress: { direction: 'egress', subject: source, peer: destination, destination, flow },
      ingress: { direction: 'ingress', subject: destination, peer: source, destination, flow },
    };
  }

  /** Rules of the policies that take part in the answer, audited ones included. */
  rulesFor(end: End, direction: Direction): SubjectRules | undefined {
    return (this.observed ?? this.enforced).rulesFor(end, direction);
  }

  private judge(directed: DirectedFlow): DirectionVerdict {
    const enforced = this.decide(this.enforced, directed);
    // Content rules in force stay in force: a policy on trial must not open them.
    if (enforced.verdict !== 'allow' || enforced.connection === 'l7' || this.observed === undefined) return enforced;
    const observed = this.decide(this.observed, directed);
    if (observed.verdict === 'allow') return enforced;
    // A drop that a policy on trial would cause passes and is reported; its content rules are not applied.
    return { ...observed, verdict: 'audit', connection: 'audit' };
  }

  private decide(policies: CompiledPolicies, directed: DirectedFlow): DirectionVerdict {
    const { subject, peer, direction } = directed;
    const enforcement = this.facts.settings?.enforcement ?? 'default';
    const rules = policies.rulesFor(subject, direction);
    if (rules === undefined || enforcement === 'never') return plain(direction, 'allow', 'not-enforced');
    if (isSameEnd(subject, peer)) return plain(direction, 'allow', 'own-address');
    const verdict =
      decideOrdered(rules.admin, directed) ??
      decideNormal(rules, directed, enforcement === 'always' || subject.reserved === 'init') ??
      decideOrdered(rules.baseline, directed) ??
      plain(direction, 'allow', 'default-allow');
    return subject.policyAuditMode ? audited(verdict) : verdict;
  }
}

/** One question without keeping the engine. For many, build a `PolicyEngine`. */
export function evaluate(set: PolicySet, facts: ClusterFacts, flow: FlowQuery): Verdict {
  return new PolicyEngine(set, facts).verdict(flow);
}

/** Rule 1. */
export function combine(egress: DirectionVerdict, ingress: DirectionVerdict): Verdict {
  const both = [egress.verdict, ingress.verdict];
  const verdict: FlowVerdict = both.includes('deny') ? 'deny' : both.includes('audit') ? 'audit' : 'allow';
  return { verdict, egress, ingress };
}

function isSameEnd(a: End, b: End): boolean {
  if (a.kind === 'workload') return b.kind === 'workload' && a.workload?.key === b.workload?.key;
  return a.kind === 'node' && b.kind === 'node' && isOwnNode(a, b.node);
}

/** Admin and baseline tiers: the first match decides; `pass` leaves the tier (rules 21, 22). Undefined: no opinion. */
function decideOrdered(rules: readonly CompiledRule[], directed: DirectedFlow): DirectionVerdict | undefined {
  for (const compiled of rules) {
    if (matchingClauses(compiled, directed) === undefined) continue;
    return compiled.rule.action === 'pass' ? undefined : byRules(directed.direction, compiled.rule.action, [compiled]);
  }
  return undefined;
}

/** The tier of NetworkPolicy and Cilium policies (rule 6). */
function decideNormal(rules: SubjectRules, directed: DirectedFlow, alwaysIsolated: boolean): DirectionVerdict | undefined {
  const { direction, peer, subject } = directed;
  for (const compiled of rules.denies) {
    if (matchingClauses(compiled, directed) !== undefined) return byRules(direction, 'deny', [compiled]);
  }
  const isolated = alwaysIsolated || rules.isolating.length > 0;
  const allowed = decideAllows(rules.allows, directed, isolated);
  if (allowed !== undefined) return allowed;
  if (!isolated) return undefined;
  if (direction === 'ingress' && isOwnNode(peer, subject.node)) return plain(direction, 'allow', 'own-node');
  return defaultDeny(direction, rules);
}

interface MatchedAllow {
  readonly compiled: CompiledRule;
  readonly clause: CompiledClause;
}

/** All matching allows are ORed; one without content rules ends content inspection (rule 51). */
function decideAllows(allows: readonly CompiledRule[], directed: DirectedFlow, isolated: boolean): DirectionVerdict | undefined {
  const matched: MatchedAllow[] = [];
  for (const compiled of allows) {
    for (const clause of matchingClauses(compiled, directed) ?? []) {
      // Where nothing isolates, content rules come with an implicit allow-all (rule 38).
      if (clause.l7 === undefined || !isolated) return byRules(directed.direction, 'allow', [compiled]);
      matched.push({ compiled, clause });
    }
  }
  if (matched.length === 0) return undefined;
  // The own node's allow has no content part, so it ends content inspection too (rules 9, 51; Cilium's `hostWildcardL7`).
  if (directed.direction === 'ingress' && isOwnNode(directed.peer, directed.subject.node)) return plain('ingress', 'allow', 'own-node');
  return decideContent(matched, directed);
}

function decideContent(matched: readonly MatchedAllow[], directed: DirectedFlow): DirectionVerdict {
  const { direction, flow } = directed;
  const rules = [...new Set(matched.map(({ compiled }) => compiled))];
  const kinds = new Set(matched.map(({ clause }) => clause.l7?.kind).filter((kind) => kind !== 'unsupported'));
  if (kinds.size > 1) return { ...byRules(direction, 'deny', rules), reason: 'conflict' };
  if (flow.http === undefined && flow.dns === undefined) return { ...byRules(direction, 'allow', rules), connection: 'l7' };
  const passing = matched.filter(({ clause }) => clause.matchesL7?.(flow) === true).map(({ compiled }) => compiled);
  if (passing.length > 0) return { ...byRules(direction, 'allow', [...new Set(passing)]), connection: 'l7' };
  return { ...byRules(direction, 'deny', rules), connection: 'l7', reason: 'l7-denied' };
}

/** The clauses of the rule whose ports match, when a peer matches too; undefined when the rule does not match. */
function matchingClauses(compiled: CompiledRule, { subject, peer, destination, flow }: DirectedFlow): readonly CompiledClause[] | undefined {
  // Ports first: they are cheap and most rules are about other ones. Lists are made only for rules that match.
  if (!compiled.clauses.some((clause) => clauseMatches(clause, flow, destination))) return undefined;
  if (!compiled.peers.some((test) => test(peer, subject.node))) return undefined;
  return compiled.clauses.length === 1 ? compiled.clauses : compiled.clauses.filter((clause) => clauseMatches(clause, flow, destination));
}

function clauseMatches({ ports }: CompiledClause, flow: FlowQuery, destination: End): boolean {
  return ports.some((test) => test(flow, destination));
}

function plain(direction: Direction, verdict: EntryVerdict & FlowVerdict, reason: VerdictReason): DirectionVerdict {
  return { direction, verdict, connection: verdict, reason, policies: [], ruleId: 0 };
}

function byRules(direction: Direction, verdict: 'allow' | 'deny', rules: readonly CompiledRule[]): DirectionVerdict {
  const log = rules.map(({ rule }) => rule.log).find((value) => value !== undefined);
  return {
    direction,
    verdict,
    connection: verdict,
    reason: 'rule',
    policies: rules.map(referenceOf),
    ruleId: rules[0]?.rule.id ?? 0,
    ...(log === undefined ? {} : { log }),
  };
}

/** One answer per endpoint and direction: where many policies isolate, naming them all takes longer than deciding. */
const defaultDenies = new WeakMap<SubjectRules, DirectionVerdict>();

function defaultDeny(direction: Direction, rules: SubjectRules): DirectionVerdict {
  const known = defaultDenies.get(rules);
  if (known !== undefined) return known;
  const verdict = describeDefaultDeny(direction, rules);
  defaultDenies.set(rules, verdict);
  return verdict;
}

function describeDefaultDeny(direction: Direction, { isolating }: SubjectRules): DirectionVerdict {
  if (isolating.length === 0) return plain(direction, 'deny', 'isolated-without-policy');
  const unique = new Map(isolating.map(({ key, reference }) => [key, reference]));
  return {
    ...plain(direction, 'deny', 'default-deny'),
    policies: [...unique.values()],
    ruleId: wantedDefaultDenyId(direction, [...unique.keys()]),
  };
}

/** A drop becomes a report; refusals of content do not (rule 56). */
function audited(verdict: DirectionVerdict): DirectionVerdict {
  if (verdict.verdict !== 'deny' || verdict.reason === 'l7-denied') return verdict;
  return { ...verdict, verdict: 'audit', connection: 'audit' };
}
