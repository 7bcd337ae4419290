import { DomainError } from '@palisade/errors';
import { IR_VERSION, policyKey, type PolicyBlock, type PolicyDocument } from './ir.ts';
import { claimRuleId } from './rule-id.ts';

/** Policies of one cluster in the order of their keys, with rule ids that are unique among them. Plain JSON. */
export interface PolicySet {
  readonly irVersion: typeof IR_VERSION;
  readonly policies: readonly PolicyDocument[];
}

/**
 * Sorts policies by key and settles collisions of rule ids: the first policy in key order keeps its number.
 * Throws `request.invalid` when two policies have the same kind, namespace and name, or an IR version is unknown.
 */
export function createPolicySet(policies: readonly PolicyDocument[]): PolicySet {
  const keyed = policies.map((policy) => ({ key: policyKey(policy), policy }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const taken = new Set<number>();
  let previous: string | undefined;
  for (const { key, policy } of keyed) {
    if (policy.irVersion !== IR_VERSION) {
      throw new DomainError(
        'request.invalid',
        `${key} has IR version ${String(policy.irVersion)}, this engine knows ${IR_VERSION}: compile the policy again.`,
      );
    }
    if (key === previous) {
      throw new DomainError('request.invalid', `${key} occurs twice: a cluster has one policy of a kind, namespace and name.`);
    }
    previous = key;
  }
  return { irVersion: IR_VERSION, policies: keyed.map(({ policy }) => withUniqueRuleIds(policy, taken)) };
}

function withUniqueRuleIds(policy: PolicyDocument, taken: Set<number>): PolicyDocument {
  let changed = false;
  const blocks = policy.blocks.map((block): PolicyBlock => {
    const rules = block.rules.map((rule) => {
      const id = claimRuleId(rule.id, taken);
      if (id === rule.id) return rule;
      changed = true;
      return { ...rule, id };
    });
    return changed ? { ...block, rules } : block;
  });
  return changed ? { ...policy, blocks } : policy;
}
