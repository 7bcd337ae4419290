/** Policies compiled for verdicts, and the rules that concern one endpoint, found once per identity. */

import type { ClusterFacts } from '../facts.ts';
import { placeOf, policyKey, type L7Clause, type LabelSelector, type PolicyBlock, type PolicyDocument, type PolicyRule, type Tier } from '../ir.ts';
import { LabelView, NAMESPACE_KEY } from '../labels.ts';
import type { Direction, PolicyReference } from '../resolution.ts';
import { ClusterIndex, type End } from './ends.ts';
import { compileL7, type L7Test } from './l7-match.ts';
import { PeerCompiler, type PeerTest } from './peer-match.ts';
import { compilePort, type PortTest } from './port-match.ts';

export interface CompiledRule {
  readonly policy: PolicyDocument;
  readonly block: PolicyBlock;
  readonly rule: PolicyRule;
  readonly peers: readonly PeerTest[];
  readonly clauses: readonly CompiledClause[];
}

export interface CompiledClause {
  readonly ports: readonly PortTest[];
  readonly l7?: L7Clause;
  readonly matchesL7?: L7Test;
}

/** Everything that speaks about one endpoint in one direction, each list in order of evaluation. */
export interface SubjectRules {
  readonly admin: readonly CompiledRule[];
  readonly denies: readonly CompiledRule[];
  readonly allows: readonly CompiledRule[];
  readonly baseline: readonly CompiledRule[];
  /** Blocks that isolate it, in key order of their policies. */
  readonly isolating: readonly { readonly key: string; readonly reference: PolicyReference }[];
}

interface CompiledBlock {
  readonly policy: PolicyDocument;
  readonly block: PolicyBlock;
  readonly key: string;
  readonly reference: PolicyReference;
  readonly selects: (labels: LabelView) => boolean;
  rules?: readonly CompiledRule[];
}

/** Compiles lazily: a rule costs nothing until an endpoint that it concerns is asked about. */
export class CompiledPolicies {
  readonly index: ClusterIndex;
  private readonly peers: PeerCompiler;
  private readonly blocks: Readonly<Record<Direction, BlockIndex>>;
  private readonly known: Readonly<Record<Direction, Map<LabelView, SubjectRules>>> = { ingress: new Map(), egress: new Map() };
  private readonly enforcesNodes: boolean;

  constructor(policies: readonly PolicyDocument[], facts: ClusterFacts, index = new ClusterIndex(facts)) {
    this.index = index;
    this.peers = new PeerCompiler(index);
    this.enforcesNodes = facts.hostFirewall;
    this.blocks = { ingress: new BlockIndex(), egress: new BlockIndex() };
    for (const policy of policies) {
      for (const block of policy.blocks) this.blocks[block.direction].add(block, this.compileBlock(policy, block));
    }
  }

  /** The rules for an end that is a policy subject; undefined for ends that policy does not restrict (rule 1). */
  rulesFor(end: End, direction: Direction): SubjectRules | undefined {
    // A node that is not known by name has no labels that a selector could be held against.
    const node = this.enforcesNodes && end.kind === 'node' && end.node !== undefined;
    const labels = end.kind === 'workload' ? end.labels : node ? end.nodeLabels : undefined;
    if (labels === undefined) return undefined;
    const known = this.known[direction].get(labels);
    if (known !== undefined) return known;
    const rules = this.collect(labels, direction, end.kind === 'workload' ? 'endpoints' : 'nodes');
    this.known[direction].set(labels, rules);
    return rules;
  }

  private compileBlock(policy: PolicyDocument, block: PolicyBlock): CompiledBlock {
    return { policy, block, key: policyKey(policy), reference: blockReference(policy, block), selects: this.peers.selector(block.subject.selector) };
  }

  private collect(labels: LabelView, direction: Direction, kind: 'endpoints' | 'nodes'): SubjectRules {
    const admin: CompiledBlock[] = [];
    const normal: CompiledBlock[] = [];
    const baseline: CompiledBlock[] = [];
    const byTier: Record<Tier, CompiledBlock[]> = { admin, normal, baseline };
    for (const candidate of this.blocks[direction].candidates(labels)) {
      if (candidate.block.subject.kind === kind && candidate.selects(labels)) byTier[candidate.block.tier].push(candidate);
    }
    const rulesOf = (blocks: readonly CompiledBlock[]) => blocks.flatMap((block) => this.rulesOf(block));
    const normalRules = rulesOf(normal);
    return {
      admin: rulesOf(admin.sort(byPriority)),
      denies: normalRules.filter(({ rule }) => rule.action === 'deny'),
      allows: normalRules.filter(({ rule }) => rule.action === 'allow'),
      baseline: rulesOf(baseline.sort(byPriority)),
      isolating: normal.filter(({ block }) => block.isolates),
    };
  }

  private rulesOf(compiled: CompiledBlock): readonly CompiledRule[] {
    compiled.rules ??= compiled.block.rules.map((rule) => ({
      policy: compiled.policy,
      block: compiled.block,
      rule,
      peers: rule.peers.map((peer) => this.peers.compile(peer)),
      clauses: rule.ports.map((clause) => ({
        ports: clause.ports.map(compilePort),
        ...(clause.l7 === undefined ? {} : { l7: clause.l7, matchesL7: compileL7(clause.l7) }),
      })),
    }));
    return compiled.rules;
  }
}

/** Lower numbers first; equal ones in key order, which is stable but means nothing (rule 21). */
function byPriority(a: CompiledBlock, b: CompiledBlock): number {
  return a.block.priority - b.block.priority || compareText(a.key, b.key) || a.block.spec - b.block.spec;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Blocks by the one namespace they can select, so that an endpoint is not compared with every policy of the cluster. */
class BlockIndex {
  private readonly byNamespace = new Map<string, CompiledBlock[]>();
  private readonly everywhere: CompiledBlock[] = [];

  add(block: PolicyBlock, compiled: CompiledBlock): void {
    const namespaces = namespacesOf(block.subject.selector);
    if (namespaces === undefined) this.everywhere.push(compiled);
    for (const namespace of namespaces ?? []) {
      const list = this.byNamespace.get(namespace);
      if (list === undefined) this.byNamespace.set(namespace, [compiled]);
      else list.push(compiled);
    }
  }

  candidates(labels: LabelView): readonly CompiledBlock[] {
    const namespace = labels.get(`k8s:${NAMESPACE_KEY}`);
    const local = namespace === undefined ? undefined : this.byNamespace.get(namespace);
    return local === undefined ? this.everywhere : [...local, ...this.everywhere];
  }
}

function namespacesOf(selector: LabelSelector): ReadonlySet<string> | undefined {
  const bound = selector.requirements.find(({ key, operator }) => key === `k8s:${NAMESPACE_KEY}` && operator === 'in');
  return bound === undefined ? undefined : new Set(bound.values);
}

export function referenceOf({ policy, block, rule }: CompiledRule): PolicyReference {
  return { ...blockReference(policy, block), ...placeOf(rule, block) };
}

export function blockReference(policy: PolicyDocument, block: PolicyBlock): PolicyReference {
  return {
    kind: policy.kind,
    ...(policy.namespace === undefined ? {} : { namespace: policy.namespace }),
    name: policy.name,
    revision: policy.revision,
    tier: block.tier,
  };
}
