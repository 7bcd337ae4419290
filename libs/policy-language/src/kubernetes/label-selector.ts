/** LabelSelector of Kubernetes (apimachinery), read to requirements in the IR's form. */

import type { LabelRequirement } from '@palisade/policy';
import { list, object, oneOf, refine, text, textMap } from '../schema/readers.ts';
import { quoted, type Reader, type Reading } from '../schema/reading.ts';
import { fieldOrSelf, type SourceNode } from '../source/source-node.ts';

/** How label keys of a language become keys with a source; undefined reports nothing and refuses the key. */
export type KeySource = (key: string) => { readonly source: string; readonly name: string };

/** Kubernetes keys have no source: `app` is the pod label `k8s:app`. */
export const kubernetesKey: KeySource = (key) => ({ source: 'k8s', name: key });

/** Cilium keys may carry a source; without one every source matches (rule 32). */
export const ciliumKey: KeySource = (key) => {
  const colon = key.indexOf(':');
  return colon < 0 ? { source: 'any', name: key } : { source: key.slice(0, colon), name: key.slice(colon + 1) };
};

/** Sources whose keys and values are chosen by clouds and operators, not by Kubernetes: tags may hold spaces. */
const FOREIGN_SOURCES: ReadonlySet<string> = new Set(['cloud', 'tag', 'host']);

const OPERATORS = { In: 'in', NotIn: 'not-in', Exists: 'exists', DoesNotExist: 'not-exists' } as const;
type OperatorName = keyof typeof OPERATORS;
const OPERATOR_NAMES = Object.keys(OPERATORS) as OperatorName[];

/** A selector as written: requirements of matchLabels apart from those of matchExpressions. */
export interface SelectorParts {
  readonly labels: readonly LabelRequirement[];
  readonly expressions: readonly LabelRequirement[];
}

/** Reads a label selector; an empty one gives no requirements and matches everything. */
export function labelSelector(what: string, keySource: KeySource): Reader<readonly LabelRequirement[]> {
  return refine(selectorParts(what, keySource), ({ labels, expressions }) => [...labels, ...expressions]);
}

/** Reads a label selector, keeping its two ways of asking apart. */
export function selectorParts(what: string, keySource: KeySource): Reader<SelectorParts> {
  const expression = object(
    { key: text('The label key'), operator: oneOf('The operator', OPERATOR_NAMES), values: list(text('A label value'), { what: 'values' }) },
    { what: `An expression of ${what}`, required: ['key', 'operator'] },
  );
  const shape = object(
    { matchLabels: textMap('matchLabels'), matchExpressions: list(expression, { what: 'matchExpressions' }) },
    { what: `The ${what}` },
  );
  return (node, reading) => {
    const selector = shape(node, reading);
    if (selector === undefined) return undefined;
    const before = reading.problems.length;
    const labels: LabelRequirement[] = [];
    const expressions: LabelRequirement[] = [];
    for (const [key, value] of selector.matchLabels ?? []) {
      const at = fieldOrSelf(fieldOrSelf(node, 'matchLabels'), key);
      labels.push({ key: checkedKey(key, keySource, at, reading), operator: 'in', values: [value] });
      checkValue(key, value, keySource, at, reading);
    }
    for (const [i, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
      const at = fieldOrSelf(fieldOrSelf(node, 'matchExpressions'), i);
      checkOperands(operator, values, at, reading);
      for (const value of values) checkValue(key, value, keySource, fieldOrSelf(at, 'values'), reading);
      expressions.push({ key: checkedKey(key, keySource, fieldOrSelf(at, 'key'), reading), operator: OPERATORS[operator], values });
    }
    return reading.problems.length > before ? undefined : { labels, expressions };
  };
}

function checkOperands(operator: OperatorName, values: readonly string[], at: SourceNode, reading: Reading): void {
  const takesValues = operator === 'In' || operator === 'NotIn';
  if (takesValues && values.length === 0) reading.error(at, 'selector.invalid', `The operator ${operator} needs at least one entry in values.`);
  if (!takesValues && values.length > 0)
    reading.error(at, 'selector.invalid', `The operator ${operator} takes no values: it only asks whether the key is there.`);
}

function checkedKey(key: string, keySource: KeySource, at: SourceNode, reading: Reading): string {
  const { source, name } = keySource(key);
  const fault = FOREIGN_SOURCES.has(source) ? foreignKeyFault(name) : labelKeyFault(name);
  if (fault !== undefined) reading.error(at, 'selector.invalid', `${quoted(key)} is not a label key: ${fault}.`);
  return `${source}:${name}`;
}

function checkValue(key: string, value: string, keySource: KeySource, at: SourceNode, reading: Reading): void {
  const fault = FOREIGN_SOURCES.has(keySource(key).source)
    ? value.length > 256
      ? 'it is longer than 256 characters'
      : undefined
    : labelValueFault(value);
  if (fault !== undefined) reading.error(at, 'selector.invalid', `${quoted(value)} is not a label value: ${fault}.`);
}

function foreignKeyFault(name: string): string | undefined {
  return name === '' || name.length > 128 ? 'a cloud or host label key has 1 to 128 characters after its source' : undefined;
}

/** Why a text is no qualified name (apimachinery validation), or undefined. */
export function labelKeyFault(key: string): string | undefined {
  const slash = key.indexOf('/');
  const name = slash < 0 ? key : key.slice(slash + 1);
  if (slash >= 0 && dnsSubdomainFault(key.slice(0, slash)) !== undefined) return 'the part before / must be a DNS name in lower case';
  if (name === '' || name.length > 63) return 'the name has 1 to 63 characters';
  return isLabelText(name) ? undefined : 'it consists of letters, digits, "-", "_" and ".", and starts and ends with a letter or digit';
}

export function labelValueFault(value: string): string | undefined {
  if (value === '') return undefined;
  if (value.length > 63) return 'it is longer than 63 characters';
  return isLabelText(value) ? undefined : 'it consists of letters, digits, "-", "_" and ".", and starts and ends with a letter or digit';
}

function isLabelText(value: string): boolean {
  return /^[-A-Za-z0-9_.]*$/.test(value) && /^[A-Za-z0-9]/.test(value) && /[A-Za-z0-9]$/.test(value);
}

/** RFC 1123 subdomain, at most 253 characters. */
export function dnsSubdomainFault(value: string): string | undefined {
  if (value === '' || value.length > 253) return 'it has 1 to 253 characters';
  return value.split('.').every(isDnsLabel)
    ? undefined
    : 'it consists of lower-case letters, digits, "-" and ".", each part starting and ending with a letter or digit';
}

/** RFC 1123 label without the length. */
function isDnsLabel(part: string): boolean {
  return /^[a-z0-9-]+$/.test(part) && !part.startsWith('-') && !part.endsWith('-');
}

export function dnsLabelFault(value: string): string | undefined {
  return value.length <= 63 && isDnsLabel(value)
    ? undefined
    : 'it has 1 to 63 lower-case letters, digits and "-", and starts and ends with a letter or digit';
}
