/** Endpoints of the resolved node, and what of the policies speaks about each. */

import { RESERVED_IDENTITY, type Labels, type NodeFact, type PolicySettings, type WorkloadFact } from '../facts.ts';
import { LabelView } from '../labels.ts';
import type { Direction } from '../resolution.ts';
import type { CandidateBlock } from './candidate-rule.ts';
import { portNamesOf, type PortName } from './port-names.ts';
import type { RuleSet, RuleSetContent } from './rule-set.ts';

/** A policy subject on the resolved node, with the rule sets it was given. */
export interface LocalEndpoint {
  readonly key: string;
  readonly identity: number;
  readonly labels: LabelView;
  readonly kind: 'endpoints' | 'nodes';
  readonly alwaysIsolated: boolean;
  readonly audit: boolean;
  readonly names: readonly PortName[];
  egress?: RuleSet | undefined;
  ingress?: RuleSet | undefined;
}

export function workloadEndpoint(fact: WorkloadFact, identityLabels: Labels, settings: PolicySettings | undefined): LocalEndpoint {
  const labels = new LabelView(identityLabels);
  const init = fact.identity === RESERVED_IDENTITY.init || labels.has('reserved:init', undefined);
  return {
    key: fact.key,
    identity: fact.identity,
    labels,
    kind: 'endpoints',
    alwaysIsolated: init || settings?.enforcement === 'always',
    audit: fact.policyAuditMode === true || settings?.policyAuditMode === true,
    names: portNamesOf(fact),
  };
}

/** The host itself (rule 55); only where host policies are enforced. */
export function nodeEndpoint(fact: NodeFact, settings: PolicySettings | undefined): LocalEndpoint {
  return {
    key: `node/${fact.name}`,
    identity: RESERVED_IDENTITY.host,
    labels: new LabelView(fact.labels),
    kind: 'nodes',
    alwaysIsolated: settings?.enforcement === 'always',
    audit: settings?.policyAuditMode === true,
    names: [],
  };
}

export function selects({ block, selects: test }: CandidateBlock, endpoint: LocalEndpoint): boolean {
  return block.subject.kind === endpoint.kind && test(endpoint.labels);
}

/** `blocks`: those that select the endpoint, of both directions. */
export function contentOf(endpoint: LocalEndpoint, direction: Direction, blocks: readonly CandidateBlock[]): RuleSetContent {
  return {
    direction,
    blocks: blocks.filter(({ block }) => block.direction === direction),
    alwaysIsolated: endpoint.alwaysIsolated,
    audit: endpoint.audit,
    isNode: endpoint.kind === 'nodes',
    names: direction === 'ingress' ? endpoint.names : [],
  };
}
