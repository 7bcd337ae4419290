/** What is suspicious in a set of policies though each of them is valid: ambiguity that the specifications tell us to report. */

import { policyKey, type L7Clause, type PolicyBlock, type PolicyDocument } from './ir.ts';
import type { PolicySet } from './policy-set.ts';

export interface PolicyFinding {
  /**
   * - `equal-priority`: the order of these policies is undefined (rule 21)
   * - `content-conflict`: HTTP and DNS rules meet on the same endpoints, peers and port, which nothing can satisfy (rule 53)
   * - `not-enforced`: the policy asks for content checks that do not exist here; they fail closed
   */
  readonly code: 'equal-priority' | 'content-conflict' | 'not-enforced';
  readonly policies: readonly string[];
  readonly message: string;
}

export function policyFindings(set: PolicySet): PolicyFinding[] {
  return [...equalPriorities(set), ...contentConflicts(set), ...set.policies.flatMap(notEnforced)];
}

function equalPriorities(set: PolicySet): PolicyFinding[] {
  const byPlace = new Map<string, { readonly policy: PolicyDocument; readonly block: PolicyBlock }[]>();
  for (const policy of set.policies) {
    for (const block of policy.blocks) {
      if (block.tier === 'normal') continue;
      const place = `${block.tier} tier, priority ${block.priority}, ${block.direction}`;
      const found = byPlace.get(place);
      if (found === undefined) byPlace.set(place, [{ policy, block }]);
      else found.push({ policy, block });
    }
  }
  return [...byPlace]
    .filter(([, found]) => found.length > 1)
    .map(([place, found]) => {
      const policies = found.map(({ policy }) => policyKey(policy));
      return {
        code: 'equal-priority',
        policies,
        message: `${policies.join(' and ')} have the same place (${place}): where they select the same endpoint their order is undefined. Give them different priorities.`,
      };
    });
}

/** Only conflicts that the text of the policies shows: the same selectors and the same port. Others show in verdicts. */
function contentConflicts(set: PolicySet): PolicyFinding[] {
  const byPlace = new Map<string, { readonly kinds: Set<string>; readonly policies: Set<string> }>();
  for (const policy of set.policies) {
    for (const block of policy.blocks) {
      for (const { peers, ports } of block.rules) {
        for (const { l7, ports: matches } of ports) {
          if (l7 === undefined || l7.kind === 'unsupported') continue;
          for (const match of matches) {
            const place = JSON.stringify([block.direction, block.subject, peers, match]);
            const found = byPlace.get(place) ?? { kinds: new Set(), policies: new Set() };
            byPlace.set(place, found);
            found.kinds.add(l7.kind);
            found.policies.add(policyKey(policy));
          }
        }
      }
    }
  }
  return [...byPlace.values()]
    .filter(({ kinds }) => kinds.size > 1)
    .map(({ policies }) => ({
      code: 'content-conflict',
      policies: [...policies],
      message: `${[...policies].join(' and ')} look for HTTP and for DNS in the same connections, so all of them are refused: keep one protocol on this port.`,
    }));
}

/** Nodes match questions by a fixed part with open labels in front of it; names whose stars stand elsewhere never match. */
function unenforced(l7: L7Clause | undefined): readonly string[] {
  if (l7?.kind === 'unsupported') return [l7.feature];
  if (l7?.kind !== 'dns' || l7.names.some(({ kind, value }) => kind === 'pattern' && /^\*+\.?$/.test(value.trim()))) return [];
  const inner = l7.names.filter(({ value }) => value.trim().replace(/^\*+\./, '').includes('*'));
  return inner.map(({ value }) => `DNS questions by the pattern “${value}”, whose star is not the whole first label`);
}

function notEnforced(policy: PolicyDocument): PolicyFinding[] {
  const clauses = policy.blocks.flatMap(({ rules }) => rules.flatMap(({ ports }) => ports));
  const features = new Set(clauses.flatMap(({ l7 }) => unenforced(l7)));
  return [...features].map((feature) => ({
    code: 'not-enforced',
    policies: [policyKey(policy)],
    message: `${policyKey(policy)} asks for ${feature}, which is not checked here: what only that rule allows is refused.`,
  }));
}
