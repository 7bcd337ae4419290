/** `matchName` and `matchPattern` (rules 44, 54). */

import { canonicalName, type FqdnSelector } from '@palisade/policy';
import { object, refine, text } from '../schema/readers.ts';
import { quoted, type Reader } from '../schema/reading.ts';
import { fieldOrSelf } from '../source/source-node.ts';

/** Upstream's limit on both fields. */
const LONGEST_NAME = 255;

/** Reads exactly one of the two, canonical (lower case, no final dot). */
export function fqdnSelector(what: string): Reader<FqdnSelector> {
  const fields = object({ matchName: text('matchName', { max: LONGEST_NAME }), matchPattern: text('matchPattern', { max: LONGEST_NAME }) }, { what });
  return refine(fields, ({ matchName = '', matchPattern = '' }, node, reading) => {
    if ((matchName === '') === (matchPattern === '')) {
      return reading.error(node, 'field.exclusive', `${what} needs exactly one of matchName and matchPattern.`);
    }
    if (matchName !== '') {
      return isDotted(matchName, /^[-a-zA-Z0-9_]+$/)
        ? { kind: 'name', value: canonicalName(matchName) }
        : reading.error(
            fieldOrSelf(node, 'matchName'),
            'fqdn.invalid',
            `matchName cannot be ${quoted(matchName)}: only letters, digits, "-", "_" and single dots; for wildcards use matchPattern.`,
          );
    }
    return isDotted(matchPattern, /^[-a-zA-Z0-9_*]+$/)
      ? { kind: 'pattern', value: canonicalName(matchPattern) }
      : reading.error(
          fieldOrSelf(node, 'matchPattern'),
          'fqdn.invalid',
          `matchPattern cannot be ${quoted(matchPattern)}: only letters, digits, "-", "_", "*" and single dots; it is no regular expression.`,
        );
  });
}

/** Non-empty labels between single dots, one final dot allowed. Linear, unlike the expression of the CRD. */
function isDotted(value: string, label: RegExp): boolean {
  const body = value.endsWith('.') ? value.slice(0, -1) : value;
  return body.split('.').every((part) => label.test(part));
}
