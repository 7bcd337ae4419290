/** Text (or values) to policies: the entry of the room. */

import { policyKey, type CidrGroupFact, type PolicyDocument } from '@palisade/policy';
import { applyRequires, type Requires } from './cilium/legacy-requires.ts';
import { KIND_ADVICE, POLICY_KINDS, type CompileOptions, type Compiled, type PolicyKindEntry } from './policy-kinds.ts';
import type { Problem } from './problem.ts';
import { quoted, Reading, type Reader } from './schema/reading.ts';
import { sourceFromValue } from './source/from-value.ts';
import { DEFAULT_LIMITS, type InputLimits } from './source/input-limits.ts';
import { readYaml } from './source/read-yaml.ts';
import type { SourceNode } from './source/source-node.ts';

/** All optional: namespace `default`, mode `enforce`, revision 0, objects written by people, limits of 4 MiB. */
export interface ParseOptions extends Partial<CompileOptions> {
  readonly limits?: Partial<InputLimits>;
}

export interface ParsedPolicies {
  /** Valid policies in the order of the input. */
  readonly documents: readonly PolicyDocument[];
  /** CiliumCIDRGroup objects found beside them; they belong to the cluster's facts. */
  readonly cidrGroups: readonly CidrGroupFact[];
  /** Every error refuses its object; warnings stand beside accepted ones. */
  readonly problems: readonly Problem[];
}

/** Nobody mends more than this many faults at once; an object stays refused though its later faults are not listed. */
const MOST_PROBLEMS = 500;

const DEFAULTS: CompileOptions = { defaultNamespace: 'default', defaultMode: 'enforce', revision: 0, fromApiServer: false, legacyRequires: false };

/** Reads YAML or JSON, several documents and `List` objects included. Never throws for bad input: see `problems`. */
export function parsePolicies(text: string, options: ParseOptions = {}): ParsedPolicies {
  const source = readYaml(text, { ...DEFAULT_LIMITS, ...options.limits });
  const collected = new Collected(options);
  for (const { number, root } of source.documents) collected.read(root, new Reading(number, source.place));
  return collected.finish(source.problems);
}

/** The same for values that were parsed elsewhere, such as objects from the Kubernetes API; positions are 0. */
export function parsePolicyValues(values: readonly unknown[], options: ParseOptions = {}): ParsedPolicies {
  const { maxDepth } = { ...DEFAULT_LIMITS, ...options.limits };
  const collected = new Collected(options);
  const problems: Problem[] = [];
  for (const [document, value] of values.entries()) {
    try {
      collected.read(sourceFromValue(value, maxDepth), new Reading(document, () => ({ line: 0, column: 0 })));
    } catch (error) {
      if (!(error instanceof RangeError) && !(error instanceof TypeError)) throw error;
      problems.push({
        severity: 'error',
        document,
        line: 0,
        column: 0,
        pointer: '',
        code: 'input.too-deep',
        message: `The object cannot be read: ${error.message}`,
      });
    }
  }
  return collected.finish(problems);
}

class Collected {
  private readonly options: CompileOptions;
  private readonly documents: PolicyDocument[] = [];
  private readonly cidrGroups: CidrGroupFact[] = [];
  private readonly problems: Problem[] = [];
  private readonly requires: Requires[] = [];
  private readonly keys = new Set<string>();
  private readonly readers = new Map<string, Reader<Compiled>>();

  constructor(options: ParseOptions) {
    this.options = { ...DEFAULTS, ...options };
  }

  /** Reads one document: a policy or a list of them. */
  read(root: SourceNode, reading: Reading): void {
    const { objects, inherited } = objectsIn(root);
    for (const node of objects) this.readObject(node, inherited, reading);
    this.problems.push(...reading.problems);
  }

  finish(before: readonly Problem[]): ParsedPolicies {
    // Faults of the input itself come first, so that none of them falls behind the limit.
    const problems = [...before, ...this.problems]
      .slice(0, MOST_PROBLEMS)
      .sort((a, b) => a.document - b.document || a.line - b.line || a.column - b.column);
    const documents = this.requires.length === 0 ? this.documents : applyRequires(this.documents, this.requires);
    return { documents, cidrGroups: this.cidrGroups, problems };
  }

  private readObject(node: SourceNode, inherited: TypeMeta, reading: Reading): void {
    const before = reading.problems.length;
    const compiled = this.readerOf(node, inherited, reading)?.(node, reading);
    const refused = reading.problems.slice(before).some(({ severity }) => severity === 'error');
    if (compiled === undefined || refused) return;
    if ('cidrGroup' in compiled) this.cidrGroups.push(compiled.cidrGroup);
    else this.add(compiled, node, reading);
  }

  /** The schema of the object's kind, built once per input. */
  private readerOf(node: SourceNode, inherited: TypeMeta, reading: Reading): Reader<Compiled> | undefined {
    const entry = kindOf(node, inherited, reading);
    if (entry === undefined) return undefined;
    const known = this.readers.get(entry.kind);
    if (known !== undefined) return known;
    const reader = entry.reader(this.options);
    this.readers.set(entry.kind, reader);
    return reader;
  }

  private add({ policy, requires = [] }: Extract<Compiled, { policy: unknown }>, node: SourceNode, reading: Reading): void {
    const key = policyKey(policy);
    if (this.keys.has(key)) {
      reading.error(node, 'policy.duplicate', `${key} occurs twice in this input: rename one of them or put both into one object.`);
      return;
    }
    this.keys.add(key);
    this.documents.push(policy);
    this.requires.push(...requires);
  }
}

interface TypeMeta {
  readonly kind?: string;
  readonly apiVersion?: string;
}

/** The objects of a document. Items of a `NetworkPolicyList` from an API server leave their own kind out. */
function objectsIn(root: SourceNode): { readonly objects: readonly SourceNode[]; readonly inherited: TypeMeta } {
  const kind = scalarText(root, 'kind');
  const items = root.kind === 'map' ? root.fields.get('items') : undefined;
  if (kind === undefined || !kind.endsWith('List') || items?.kind !== 'list') return { objects: [root], inherited: {} };
  const apiVersion = scalarText(root, 'apiVersion');
  const inherited = kind === 'List' || apiVersion === undefined ? {} : { kind: kind.slice(0, -'List'.length), apiVersion };
  return { objects: items.items, inherited };
}

function scalarText(node: SourceNode, field: string): string | undefined {
  const found = node.kind === 'map' ? node.fields.get(field) : undefined;
  return found?.kind === 'scalar' && typeof found.value === 'string' ? found.value : undefined;
}

function kindOf(node: SourceNode, inherited: TypeMeta, reading: Reading): PolicyKindEntry | undefined {
  if (node.kind !== 'map') return reading.error(node, 'value.type', 'A document must be an object with apiVersion, kind, metadata and spec.');
  const kind = scalarText(node, 'kind') ?? inherited.kind;
  const apiVersion = scalarText(node, 'apiVersion') ?? inherited.apiVersion;
  if (kind === undefined || apiVersion === undefined) return reading.error(node, 'field.missing', 'An object needs apiVersion and kind.');
  const entry = POLICY_KINDS.find((candidate) => candidate.kind === kind);
  if (entry === undefined) {
    const advice = KIND_ADVICE.get(kind) ?? `Policies are ${POLICY_KINDS.map((candidate) => candidate.kind).join(', ')}.`;
    return reading.error(node.fields.get('kind') ?? node, 'kind.unsupported', `${quoted(kind)} is not read here. ${advice}`);
  }
  if (!entry.apiVersions.includes(apiVersion)) {
    return reading.error(
      node.fields.get('apiVersion') ?? node,
      'kind.unsupported',
      `${kind} is read in ${entry.apiVersions.join(' and ')}, not in ${quoted(apiVersion)}.`,
    );
  }
  return entry;
}
