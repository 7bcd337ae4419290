/** What is suspicious in a set of policies though each of them is valid: ambiguity that the specifications tell us to report. */

import { policyKey, type PolicyBlock, type PolicyDocument } from './ir.ts';
import type { PolicySet } from './policy-set.ts';

export interface PolicyFinding {
  /**
   * - `equal-priority`: the order of these policies is undefined (rule 21)
   * - `not-enforced`: the policy asks for content checks that do not exist here; they fail closed
   */
  readonly code: 'equal-priority' | 'not-enforced';
  readonly policies: readonly string[];
  readonly message: string;
}

export function policyFindings(set: PolicySet): PolicyFinding[] {
  return [...equalPriorities(set), ...set.policies.flatMap(notEnforced)];
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

function notEnforced(policy: PolicyDocument): PolicyFinding[] {
  const clauses = policy.blocks.flatMap(({ rules }) => rules.flatMap(({ ports }) => ports));
  const features = new Set(clauses.map(({ l7 }) => (l7?.kind === 'unsupported' ? l7.feature : undefined)).filter((feature) => feature !== undefined));
  return [...features].map((feature) => ({
    code: 'not-enforced',
    policies: [policyKey(policy)],
    message: `${policyKey(policy)} asks for ${feature}, which is not checked here: what only that rule allows is refused.`,
  }));
}
