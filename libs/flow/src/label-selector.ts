import { DomainError } from '@palisade/errors';

/** One condition on a set of labels `source:key=value`. */
export interface LabelRequirement {
  /** Absent: any source. */
  readonly source?: string;
  readonly key: string;
  readonly operator: 'in' | 'not-in' | 'exists' | 'not-exists';
  /** Empty with exists and not-exists. */
  readonly values: readonly string[];
}

const KEY = /^[A-Za-z0-9_./:-]+$/;
const MAX_SELECTOR_LENGTH = 1024;

function invalid(text: string, pointer: string | undefined): DomainError {
  return new DomainError(
    'request.invalid',
    `"${text.slice(0, 80)}" is not a label selector; write app=web, app!=web, app in (web,api), app notin (web), app or !app, separated by commas.`,
    pointer === undefined ? {} : { pointer },
  );
}

/** Label sources are words before the first colon, as in `k8s:app`; a colon later belongs to the key. */
function keyParts(text: string): { source?: string; key: string } {
  const match = /^(k8s|reserved|cidr|cidrgroup|fqdn|unspec|any|cloud|host|container):(.+)$/.exec(text);
  if (match === null) return { key: text };
  const [, source = '', key = ''] = match;
  // `cloud:provider` is a key of its own: the source of such labels is `cloud`.
  return source === 'any' ? { key } : { source, key };
}

/** Splits at commas outside parentheses. */
function splitRequirements(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')') depth--;
    else if (text[at] === ',' && depth === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)].map((part) => part.trim());
}

function parseRequirement(part: string, pointer: string | undefined): LabelRequirement {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  if (set !== null) {
    const [, key = '', word, list = ''] = set;
    if (!KEY.test(key)) throw invalid(part, pointer);
    return { ...keyParts(key), operator: word === 'in' ? 'in' : 'not-in', values: list.split(',').map((value) => value.trim()) };
  }
  const equality = /^([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)$/.exec(part);
  if (equality !== null) {
    const [, key = '', sign, value = ''] = equality;
    if (!KEY.test(key)) throw invalid(part, pointer);
    return { ...keyParts(key), operator: sign === '!=' ? 'not-in' : 'in', values: [value] };
  }
  const negated = part.startsWith('!');
  const key = negated ? part.slice(1).trim() : part;
  if (!KEY.test(key)) throw invalid(part, pointer);
  return { ...keyParts(key), operator: negated ? 'not-exists' : 'exists', values: [] };
}

/** Kubernetes selector syntax; all requirements must hold. @throws DomainError `request.invalid` */
export function parseLabelSelector(text: string, pointer?: string): readonly LabelRequirement[] {
  if (text.trim() === '' || text.length > MAX_SELECTOR_LENGTH) throw invalid(text, pointer);
  return splitRequirements(text).map((part) => parseRequirement(part, pointer));
}

/** Source, key and value of a stored label. */
export function splitLabel(label: string): { source: string; key: string; value: string } {
  const colon = label.indexOf(':');
  const source = colon < 0 ? '' : label.slice(0, colon);
  const rest = label.slice(colon + 1);
  const equals = rest.indexOf('=');
  return equals < 0 ? { source, key: rest, value: '' } : { source, key: rest.slice(0, equals), value: rest.slice(equals + 1) };
}

function holds(requirement: LabelRequirement, labels: readonly string[]): boolean {
  const values = labels
    .map(splitLabel)
    .filter(({ source, key }) => key === requirement.key && (requirement.source === undefined || requirement.source === source))
    .map(({ value }) => value);
  switch (requirement.operator) {
    case 'exists': return values.length > 0;
    case 'not-exists': return values.length === 0;
    case 'in': return values.some((value) => requirement.values.includes(value));
    // As in Kubernetes: a label that is absent is not in the set either.
    case 'not-in': return !values.some((value) => requirement.values.includes(value));
  }
}

export function matchesLabels(requirements: readonly LabelRequirement[], labels: readonly string[]): boolean {
  return requirements.every((requirement) => holds(requirement, labels));
}
