/** YAML and JSON text to source nodes. The only file that knows the YAML library. */

import { Composer, isAlias, isMap, isScalar, isSeq, LineCounter, Parser, type Document, type Node, type Pair } from 'yaml';
import type { Problem, ProblemCode } from '../problem.ts';
import { refusedUnread, type InputLimits } from './input-limits.ts';
import type { SourceList, SourceMap, SourceNode } from './source-node.ts';

export interface SourceDocument {
  /** Position in the input, from 0. */
  readonly number: number;
  readonly root: SourceNode;
}

export interface SourceText {
  readonly documents: readonly SourceDocument[];
  readonly problems: readonly Problem[];
  /** Line and column from 1 of a character offset. */
  readonly place: (offset: number) => { line: number; column: number };
}

/** Reads all documents of the text within the limits; a document with a fault is left out and its fault reported. */
export function readYaml(text: string, limits: InputLimits): SourceText {
  const lines = new LineCounter();
  const place = (offset: number) => {
    const { line, col } = lines.linePos(Math.max(0, offset));
    return { line, column: col };
  };
  const problems: Problem[] = [];
  const report = (document: number, offset: number, code: ProblemCode, message: string) => {
    problems.push({ severity: 'error', document, ...place(offset), pointer: '', code, message });
  };
  const documents: SourceDocument[] = [];
  const refuse = (code: ProblemCode, message: string): SourceText => {
    problems.push({ severity: 'error', document: 0, line: 1, column: 1, pointer: '', code, message });
    return { documents: [], problems, place };
  };
  if (text.length > limits.maxCharacters) {
    return refuse(
      'input.too-large',
      `The input has ${text.length} characters, at most ${limits.maxCharacters} are read: send the policies in several parts.`,
    );
  }
  const refused = refusedUnread(text, limits);
  if (refused === 'deep')
    return refuse('input.too-deep', `The input opens too many lists or maps inside each other: policies nest at most ${limits.maxDepth} levels.`);
  if (refused === 'many')
    return refuse('input.too-large', `The input has more than ${limits.maxValues} lines and list entries: send the policies in several parts.`);

  let number = -1;
  try {
    for (const document of composeAll(text, lines)) {
      number++;
      if (number >= limits.maxDocuments) {
        report(
          number,
          document.range[0],
          'input.too-many-documents',
          `The input has more than ${limits.maxDocuments} documents: send them in several parts.`,
        );
        break;
      }
      const fault = document.errors[0] ?? document.warnings[0];
      if (fault !== undefined) {
        report(number, fault.pos[0], 'yaml.syntax', `The text is not valid YAML: ${fault.message.split('\n')[0] ?? ''}`);
        continue;
      }
      const contents = document.contents;
      if (contents === null || (isScalar(contents) && contents.value === null)) continue;
      try {
        documents.push({ number, root: new Expansion(limits).expand(contents, undefined, '', 0) });
      } catch (error) {
        if (!(error instanceof ExpansionFault)) throw error;
        report(number, error.offset, error.code, error.message);
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    report(Math.max(0, number), 0, 'input.too-deep', `The input nests too deeply to be read: policies nest at most ${limits.maxDepth} levels.`);
  }
  return { documents, problems, place };
}

function composeAll(text: string, lines: LineCounter): Iterable<Document.Parsed> {
  // Keys are compared by `Expansion`: the library's own check takes quadratic time.
  const composer = new Composer({
    schema: 'core',
    version: '1.2',
    strict: true,
    uniqueKeys: false,
    stringKeys: true,
    merge: false,
    logLevel: 'silent',
    prettyErrors: false,
  });
  return composer.compose(new Parser(lines.addNewLine).parse(text), false, text.length);
}

class ExpansionFault extends Error {
  readonly offset: number;
  readonly code: ProblemCode;

  constructor(node: Node, code: ProblemCode, message: string) {
    super(message);
    this.offset = node.range?.[0] ?? 0;
    this.code = code;
  }
}

/** Turns one document's nodes into source nodes, aliases expanded under a budget. */
class Expansion {
  private readonly limits: InputLimits;
  private readonly anchors = new Map<string, Node>();
  private readonly open = new Set<Node>();
  private values = 0;

  constructor(limits: InputLimits) {
    this.limits = limits;
  }

  expand(node: Node, parent: SourceMap | SourceList | undefined, key: string | number, depth: number): SourceNode {
    const offset = node.range?.[0] ?? 0;
    if (++this.values > this.limits.maxValues) {
      throw new ExpansionFault(
        node,
        'input.too-large',
        `The document holds more than ${this.limits.maxValues} values once its aliases are expanded: split it.`,
      );
    }
    if (depth > this.limits.maxDepth) {
      throw new ExpansionFault(node, 'input.too-deep', `The document nests more than ${this.limits.maxDepth} levels; no policy needs that.`);
    }
    if (isAlias(node)) return this.expandAlias(node, node.source, parent, key, depth);
    if (!isMap(node) && !isSeq(node)) {
      const value: unknown = isScalar(node) ? node.value : null;
      if (isScalar(node)) this.remember(node, node.anchor);
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null) {
        return { kind: 'scalar', value, text: isScalar(node) ? (node.source ?? String(value)) : '', offset, parent, key };
      }
      throw new ExpansionFault(node, 'yaml.syntax', 'The value is neither text, number, boolean, list nor map: write it as plain JSON or YAML.');
    }
    this.open.add(node);
    const result = isMap(node) ? this.expandMap(node.items, offset, parent, key, depth) : this.expandList(node.items, offset, parent, key, depth);
    this.open.delete(node);
    this.remember(node, node.anchor);
    return result;
  }

  private expandMap(
    pairs: readonly Pair<unknown, unknown>[],
    offset: number,
    parent: SourceMap | SourceList | undefined,
    key: string | number,
    depth: number,
  ): SourceMap {
    const map: SourceMap = { kind: 'map', fields: new Map(), offset, parent, key };
    for (const pair of pairs) {
      const name = pair.key;
      if (!isScalar(name) || typeof name.value !== 'string') {
        throw new ExpansionFault(name as Node, 'yaml.syntax', 'A field name must be text: put it in quotes.');
      }
      this.remember(name, name.anchor);
      if (map.fields.has(name.value)) {
        throw new ExpansionFault(name, 'yaml.duplicate-key', `The field "${shorten(name.value)}" occurs twice in the same map: keep one.`);
      }
      const field: SourceNode =
        pair.value === null
          ? { kind: 'scalar', value: null, text: '', offset: name.range?.[0] ?? 0, parent: map, key: name.value }
          : this.expand(pair.value as Node, map, name.value, depth + 1);
      map.fields.set(name.value, field);
    }
    return map;
  }

  private expandList(
    items: readonly unknown[],
    offset: number,
    parent: SourceMap | SourceList | undefined,
    key: string | number,
    depth: number,
  ): SourceList {
    const list: SourceList = { kind: 'list', items: [], offset, parent, key };
    for (const [i, item] of items.entries()) list.items.push(this.expand(item as Node, list, i, depth + 1));
    return list;
  }

  private expandAlias(node: Node, name: string, parent: SourceMap | SourceList | undefined, key: string | number, depth: number): SourceNode {
    const target = this.anchors.get(name);
    if (target === undefined) {
      throw new ExpansionFault(node, 'yaml.alias', `The alias *${shorten(name)} refers to no finished anchor before it: aliases cannot be circular.`);
    }
    return this.expand(target, parent, key, depth);
  }

  /** An anchor counts once its value is complete, so that no alias can contain itself. */
  private remember(node: Node, anchor: string | undefined): void {
    if (anchor !== undefined && !this.open.has(node)) this.anchors.set(anchor, node);
  }
}

function shorten(text: string): string {
  return text.length > 64 ? `${text.slice(0, 64)}…` : text;
}
