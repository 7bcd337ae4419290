/** A policy on its way to the IR: everything but rule ids. */

import {
  IR_VERSION,
  policyKey,
  wantedRuleId,
  type L7Mode,
  type PolicyBlock,
  type PolicyDocument,
  type PolicyKind,
  type PolicyMode,
  type PolicyRule,
} from '@palisade/policy';
import { quoted, type Reading } from './schema/reading.ts';
import type { Metadata } from './kubernetes/metadata.ts';
import type { SourceNode } from './source/source-node.ts';

export type RuleDraft = Omit<PolicyRule, 'id'>;
export type BlockDraft = Omit<PolicyBlock, 'rules'> & { readonly rules: readonly RuleDraft[] };

export const MODE_ANNOTATION = 'palisade.io/mode';
export const L7_MODE_ANNOTATION = 'palisade.io/l7-mode';

const MODES = ['observe', 'shadow', 'enforce'] as const satisfies readonly PolicyMode[];
const L7_MODES = ['hard', 'soft'] as const satisfies readonly L7Mode[];

/** What the annotations of a policy ask for; undefined (with a problem) when they ask for something unknown. */
export function annotatedModes(
  metadata: Metadata,
  node: SourceNode,
  defaultMode: PolicyMode,
  reading: Reading,
): { mode: PolicyMode; l7: L7Mode } | undefined {
  const mode = annotation(metadata, MODE_ANNOTATION, MODES, defaultMode, node, reading);
  const l7 = annotation(metadata, L7_MODE_ANNOTATION, L7_MODES, 'hard', node, reading);
  return mode === undefined || l7 === undefined ? undefined : { mode, l7 };
}

function annotation<W extends string>(
  metadata: Metadata,
  name: string,
  words: readonly W[],
  otherwise: W,
  node: SourceNode,
  reading: Reading,
): W | undefined {
  const given = metadata.annotations.get(name);
  if (given === undefined) return otherwise;
  const found = words.find((word) => word === given);
  return found ?? reading.error(node, 'value.enum', `The annotation ${name} cannot be ${quoted(given)}: use one of ${words.join(', ')}.`);
}

/** Numbers the rules and closes the document. Equal rules of one policy get different ids by their order. */
export function finishPolicy(
  identity: { readonly kind: PolicyKind; readonly namespace: string | undefined; readonly name: string },
  settings: { readonly mode: PolicyMode; readonly revision: number },
  drafts: readonly BlockDraft[],
): PolicyDocument {
  const named = { kind: identity.kind, ...(identity.namespace === undefined ? {} : { namespace: identity.namespace }), name: identity.name };
  const key = policyKey(named);
  const seen = new Map<string, number>();
  const blocks = drafts.map((block): PolicyBlock => {
    const rules = block.rules.map((rule): PolicyRule => {
      const { index, ...content } = rule;
      const text = `${block.direction}${JSON.stringify(content)}`;
      const ordinal = seen.get(text) ?? 0;
      seen.set(text, ordinal + 1);
      return { id: wantedRuleId(key, block.direction, content, ordinal), ...rule, index };
    });
    return { ...block, rules };
  });
  return { irVersion: IR_VERSION, ...named, revision: settings.revision, mode: settings.mode, blocks };
}
