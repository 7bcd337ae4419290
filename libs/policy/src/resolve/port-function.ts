/** Precedence flattened: from the rules that match a peer to one decision per protocol and port (rules 5–9, 21–23, 37–40, 51–53, 56). */

import { PROTOCOL_NUMBER, type FqdnSelector, type HttpRule, type L7RuleSet } from '../resolution.ts';
import type { CandidateRule, PortInterval } from './candidate-rule.ts';
import { DEFAULT_ALLOW, type Decision, type DecisionTable } from './decision.ts';
import type { PortName } from './port-names.ts';
import type { PortSteps } from './prefix-cover.ts';

/** Decisions by protocol and port: `protocols` where some rule names the protocol, `other` elsewhere. */
export interface PortFunction {
  /** Dense number; equal numbers are equal functions. */
  readonly uid: number;
  readonly other: number;
  readonly protocols: ReadonlyMap<number, PortSteps>;
}

/** What else than rules bears on the decision. */
export interface Circumstances {
  /** Some policy of mode `enforce` isolates, or the endpoint is isolated without a policy (rule 39). */
  readonly isolatedEnforced: boolean;
  /** The same with policies in mode `observe`. */
  readonly isolated: boolean;
  readonly hasObserved: boolean;
  /** Ingress from the endpoint's own node (rule 9). */
  readonly fromOwnNode: boolean;
  /** Drops are reported and pass (rule 56). */
  readonly audit: boolean;
}

/** Rules that match one peer, each list in order of evaluation. */
export interface MatchedRules {
  readonly admin: readonly CandidateRule[];
  readonly normal: readonly CandidateRule[];
  readonly baseline: readonly CandidateRule[];
}

/** Computes and interns port functions. */
export class PortFunctionBuilder {
  private readonly decisions: DecisionTable;
  private readonly known = new Map<string, PortFunction>();

  constructor(decisions: DecisionTable) {
    this.decisions = decisions;
  }

  /** `names`: ports that the destination workload names. */
  build(rules: MatchedRules, names: readonly PortName[], circumstances: Circumstances): PortFunction {
    const parts = [...rules.admin, ...rules.normal, ...rules.baseline].flatMap((rule) => intervalsOf(rule, names).map((interval): Part => ({ rule, interval })));
    const everywhere = parts.filter(({ interval }) => interval.protocol === 0);
    const other = this.decide(rules, clausesByRule(everywhere), circumstances);
    const protocols = new Map<number, PortSteps>();
    for (const protocol of new Set(parts.map(({ interval }) => interval.protocol))) {
      if (protocol === 0) continue;
      const relevant = parts.filter(({ interval }) => interval.protocol === protocol || interval.protocol === 0);
      protocols.set(protocol, stepsOf(relevant, (here) => this.decide(rules, clausesByRule(here), circumstances)));
    }
    return this.intern(other, protocols);
  }

  private intern(other: number, given: ReadonlyMap<number, PortSteps>): PortFunction {
    const protocols = new Map([...given].filter(([, steps]) => steps.values.some((value) => value !== other)).sort(([a], [b]) => a - b));
    const key = `${other};${[...protocols].map(([protocol, steps]) => `${protocol}:${steps.starts.join(',')}=${steps.values.join(',')}`).join(';')}`;
    let found = this.known.get(key);
    if (found === undefined) {
      found = { uid: this.known.size, other, protocols };
      this.known.set(key, found);
    }
    return found;
  }

  private decide(rules: MatchedRules, clauses: ClausesByRule, circumstances: Circumstances): number {
    const enforced = decideTiers(rules, clauses, circumstances, false);
    if (enforced.verdict === 'deny') return this.decisions.intern(circumstances.audit ? { ...enforced, verdict: 'audit' } : enforced);
    // Content rules in force stay in force: a policy on trial must not open them.
    if (enforced.verdict === 'l7' || !circumstances.hasObserved) return this.decisions.intern(enforced);
    const trial = decideTiers(rules, clauses, circumstances, true);
    return this.decisions.intern(trial.verdict === 'deny' ? { ...trial, verdict: 'audit' } : enforced);
  }

  get size(): number {
    return this.known.size;
  }
}

/** Rules that hold a packet, each with the clauses that do. */
type ClausesByRule = ReadonlyMap<CandidateRule, readonly number[]>;

interface Part {
  readonly rule: CandidateRule;
  readonly interval: PortInterval;
}

const ALLOW: Decision = { verdict: 'allow', by: DEFAULT_ALLOW, log: false };

function decideTiers(rules: MatchedRules, clauses: ClausesByRule, circumstances: Circumstances, withObserved: boolean): Decision {
  const takesPart = (rule: CandidateRule): boolean => withObserved || !rule.block.observed;
  return (
    decideOrdered(rules.admin, clauses, takesPart) ??
    decideNormal(rules.normal, clauses, takesPart, circumstances, withObserved) ??
    decideOrdered(rules.baseline, clauses, takesPart) ??
    ALLOW
  );
}

function decideOrdered(rules: readonly CandidateRule[], clauses: ClausesByRule, takesPart: (rule: CandidateRule) => boolean): Decision | undefined {
  for (const rule of rules) {
    if (!clauses.has(rule) || !takesPart(rule)) continue;
    return rule.rule.action === 'pass' ? undefined : byRules(rule.rule.action, [rule]);
  }
  return undefined;
}

function decideNormal(
  rules: readonly CandidateRule[],
  clauses: ClausesByRule,
  takesPart: (rule: CandidateRule) => boolean,
  { isolated, isolatedEnforced, fromOwnNode }: Circumstances,
  withObserved: boolean,
): Decision | undefined {
  const matching = rules.filter((rule) => clauses.has(rule) && takesPart(rule));
  const denied = matching.find(({ rule }) => rule.action === 'deny');
  if (denied !== undefined) return byRules('deny', [denied]);
  const isolates = withObserved ? isolated : isolatedEnforced;
  const allowing = matching.filter(({ rule }) => rule.action === 'allow');
  const plain = allowing.find((candidate) => !isolates || clauses.get(candidate)?.some((clause) => candidate.rule.ports[clause]?.l7 === undefined) === true);
  if (plain !== undefined) return byRules('allow', [plain]);
  // The own node's allow has no content part, so it ends content inspection too (rules 9, 51).
  if (allowing.length > 0) return fromOwnNode ? ALLOW : byContent(allowing, clauses);
  if (!isolates) return undefined;
  if (fromOwnNode) return ALLOW;
  return { verdict: 'deny', by: withObserved ? 'default-deny' : 'enforced-default-deny', log: false };
}

function byRules(verdict: 'allow' | 'deny', rules: readonly CandidateRule[]): Decision {
  return { verdict, by: rules[0]?.rule.id ?? 0, log: rules.some(({ rule }) => rule.log !== undefined) };
}

/** The union of the content rules; different L7 protocols on one peer and port fail closed (rule 53). */
function byContent(allowing: readonly CandidateRule[], clauses: ClausesByRule): Decision {
  const http = new Map<string, HttpRule>();
  const dns = new Map<string, FqdnSelector>();
  const kinds = new Set<string>();
  let mode: 'hard' | 'soft' = 'soft';
  for (const candidate of allowing) {
    for (const index of clauses.get(candidate) ?? []) {
      const l7 = candidate.rule.ports[index]?.l7;
      // A demand that cannot be checked lets nothing pass: it adds no content rule.
      if (l7 === undefined || l7.kind === 'unsupported') continue;
      kinds.add(l7.kind);
      if (l7.mode === 'hard') mode = 'hard';
      if (l7.kind === 'dns') for (const name of l7.names) dns.set(JSON.stringify(name), name);
      else for (const match of l7.rules) http.set(`${candidate.rule.id}${JSON.stringify(match)}`, { ...match, ruleId: candidate.rule.id });
    }
  }
  if (kinds.size > 1) return byRules('deny', allowing);
  const set: L7RuleSet = kinds.has('dns') ? { mode, dns: [...dns.values()] } : { mode: kinds.size === 0 ? 'hard' : mode, http: [...http.values()] };
  return { ...byRules('allow', allowing), verdict: 'l7', l7: set };
}

function intervalsOf(rule: CandidateRule, names: readonly PortName[]): readonly PortInterval[] {
  if (rule.named.length === 0 || names.length === 0) return rule.intervals;
  const resolved = rule.named.flatMap(({ name, protocols, clause }) =>
    names
      .filter((given) => given.name === name && protocols.includes(given.protocol))
      .map(({ port, protocol }): PortInterval => ({ protocol: PROTOCOL_NUMBER[protocol], first: port, last: port, clause })),
  );
  return [...rule.intervals, ...resolved];
}

function clausesByRule(parts: readonly Part[]): ClausesByRule {
  const found = new Map<CandidateRule, number[]>();
  for (const { rule, interval } of parts) {
    const clauses = found.get(rule);
    if (clauses === undefined) found.set(rule, [interval.clause]);
    else if (!clauses.includes(interval.clause)) clauses.push(interval.clause);
  }
  for (const clauses of found.values()) if (clauses.length > 1) clauses.sort((a, b) => a - b);
  return found;
}

/** Decides once for every stretch of ports on which the same parts hold. */
function stepsOf(parts: readonly Part[], decide: (here: readonly Part[]) => number): PortSteps {
  const cuts = new Set([0]);
  for (const { interval } of parts) {
    cuts.add(interval.first);
    if (interval.last < 0xffff) cuts.add(interval.last + 1);
  }
  const starts: number[] = [];
  const values: number[] = [];
  for (const start of [...cuts].sort((a, b) => a - b)) {
    const value = decide(parts.filter(({ interval }) => interval.first <= start && start <= interval.last));
    if (values.at(-1) === value) continue;
    starts.push(start);
    values.push(value);
  }
  return { starts, values };
}
