/** What `palisade.io/l7-mode: soft` asks for must fit into the tables that the kernel judges with. */

import { compileSoftHttp, type TableEffort } from '@palisade/policy';
import { L7_MODE_ANNOTATION, type BlockDraft } from '../policy-draft.ts';
import type { Reading } from '../schema/reading.ts';
import { fieldOrSelf, type SourceNode } from '../source/source-node.ts';

/** Undefined, with a problem for each place, where some rules do not fit. */
export function checkSoftRules(blocks: readonly BlockDraft[], node: SourceNode, effort: TableEffort, reading: Reading): readonly BlockDraft[] | undefined {
  let fits = true;
  for (const { direction, spec, rules } of blocks) {
    for (const { index, ports } of rules) {
      for (const [clause, { l7 }] of ports.entries()) {
        const compiled = l7?.kind === 'http' && l7.mode === 'soft' ? compileSoftHttp(l7.rules, effort) : undefined;
        if (compiled === undefined || !('tooLarge' in compiled)) continue;
        fits = false;
        reading.error(
          fieldOrSelf(node, spec === 0 ? 'spec' : 'specs'),
          'l7.invalid',
          `The HTTP rules of ${direction}[${index}].toPorts[${clause}] cannot be judged in the kernel: ${compiled.tooLarge}. Write smaller expressions, or leave out ${L7_MODE_ANNOTATION}: soft; the HTTP gate, which enforces hard rules, has no such limit.`,
        );
      }
    }
  }
  return fits ? blocks : undefined;
}
