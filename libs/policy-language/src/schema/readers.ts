/** Declarative readers: a schema is a value, built from these, that reads and validates at once. */

import { isAbsent, type SourceMap, type SourceNode } from '../source/source-node.ts';
import { quoted, type Check, type Reader, type Reading } from './reading.ts';

/** The value type of a reader. */
export type Read<R> = R extends Reader<infer T> ? T : never;

type Shape = Readonly<Record<string, Reader<unknown>>>;

/** Fields that are absent or null are undefined, except the required ones. */
export type ObjectOf<S extends Shape, R extends keyof S> = { readonly [K in R]: Read<S[K]> } & {
  readonly [K in Exclude<keyof S, R>]: Read<S[K]> | undefined;
};

interface ObjectOptions<S extends Shape, R extends keyof S> {
  /** What the object is, for messages: "an ingress rule". */
  readonly what: string;
  readonly required?: readonly R[];
  /** Fields whose absence widens what the object says: one that is there but null is probably a slip, and warned about. */
  readonly widens?: readonly (keyof S & string)[];
  /** Extra explanation for fields that do not exist here, by name. */
  readonly notHere?: Readonly<Record<string, string>>;
}

/** A map with exactly these fields; unknown fields are errors, because an ignored field is a hole. */
export function object<S extends Shape, R extends keyof S & string = never>(shape: S, options: ObjectOptions<NoInfer<S>, R>): Reader<ObjectOf<S, R>> {
  const fields = Object.entries(shape);
  const known = new Map(fields);
  return (node, reading) => {
    if (node.kind !== 'map') return wrongType(node, reading, `${options.what} must be a map of fields`);
    let complete = true;
    for (const [name, field] of node.fields) {
      if (known.has(name)) continue;
      complete = false;
      reading.error(field, 'field.unknown', unknownField(name, options, known));
    }
    const result: Record<string, unknown> = {};
    for (const [name, read] of fields) {
      const field = node.fields.get(name);
      if (isAbsent(field)) {
        warnOfNull(name, node, options, reading);
        if (!options.required?.some((required) => required === name)) continue;
        complete = false;
        reading.error(node, 'field.missing', `${options.what} needs the field "${name}".`);
        continue;
      }
      const value = read(field, reading);
      if (value === undefined) complete = false;
      else result[name] = value;
    }
    if (!complete) return undefined;
    // The loop above established exactly this type, field by field.
    return result as ObjectOf<S, R>;
  };
}

function warnOfNull<S extends Shape, R extends keyof S>(name: string, node: SourceMap, options: ObjectOptions<S, R>, reading: Reading): void {
  const field = node.fields.get(name);
  if (field === undefined || !options.widens?.some((widening) => widening === name)) return;
  reading.warning(
    field,
    'field.null',
    `"${name}" is there but empty (null), which means the same as leaving it out, so it restricts nothing. Fill it in or remove it.`,
  );
}

function unknownField<S extends Shape, R extends keyof S>(name: string, options: ObjectOptions<S, R>, known: ReadonlyMap<string, unknown>): string {
  const hint = options.notHere !== undefined && Object.hasOwn(options.notHere, name) ? options.notHere[name] : undefined;
  if (hint !== undefined) return `${options.what} cannot have the field ${quoted(name)}: ${hint}`;
  const close = [...known.keys()].find((candidate) => isClose(candidate.toLowerCase(), name.toLowerCase()));
  const advice = close === undefined ? `It has: ${[...known.keys()].join(', ')}.` : `Did you mean "${close}"?`;
  return `${options.what} has no field ${quoted(name)}; unknown fields are refused because ignoring one could open a hole. ${advice}`;
}

/** True when one insertion, deletion, replacement or nothing makes the names equal. */
function isClose(a: string, b: string): boolean {
  if (Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return Math.max(a.length, b.length) - start - end <= 1;
}

interface ListOptions {
  readonly what: string;
  readonly min?: number;
  readonly max?: number;
}

/** A list whose items are all read by one reader. */
export function list<T>(item: Reader<T>, options: ListOptions): Reader<readonly T[]> {
  const { min = 0, max = 10_000 } = options;
  return (node, reading) => {
    if (node.kind !== 'list') return wrongType(node, reading, `${options.what} must be a list`);
    if (node.items.length < min)
      return reading.error(node, 'list.length', `${options.what} must have at least ${min} ${min === 1 ? 'entry' : 'entries'}.`);
    if (node.items.length > max)
      return reading.error(node, 'list.length', `${options.what} has ${node.items.length} entries, at most ${max} are allowed: split it.`);
    const values: T[] = [];
    for (const entry of node.items) {
      const value = item(entry, reading);
      if (value !== undefined) values.push(value);
    }
    return values.length === node.items.length ? values : undefined;
  };
}

/** A map with free keys and text values, as entries in their order. */
export function textMap(what: string, longest = 65_536): Reader<readonly (readonly [string, string])[]> {
  return (node, reading) => {
    if (node.kind !== 'map') return wrongType(node, reading, `${what} must be a map of text values`);
    const entries: [string, string][] = [];
    for (const [name, field] of node.fields) {
      const value = text(`The value of ${quoted(name)}`, { max: longest })(field, reading);
      if (value !== undefined) entries.push([name, value]);
    }
    return entries.length === node.fields.size ? entries : undefined;
  };
}

/** Any text within `max` UTF-16 units. */
export function text(what: string, options: { readonly min?: number; readonly max?: number } = {}): Reader<string> {
  const { min = 0, max = 65_536 } = options;
  return (node, reading) => {
    if (node.kind !== 'scalar' || typeof node.value !== 'string') return wrongType(node, reading, `${what} must be text`);
    if (node.value.length < min) return reading.error(node, 'value.format', `${what} must not be empty.`);
    if (node.value.length > max) return reading.error(node, 'value.range', `${what} is longer than ${max} characters.`);
    return node.value;
  };
}

/** An integer in plain decimal notation (other notations mean different numbers to different YAML readers). */
export function integer(what: string, min: number, max: number): Reader<number> {
  return (node, reading) => {
    if (node.kind !== 'scalar' || typeof node.value !== 'number') return wrongType(node, reading, `${what} must be a number`);
    if (!Number.isInteger(node.value) || !/^(0|-?[1-9]\d*)$/.test(node.text)) {
      return reading.error(node, 'value.format', `${what} must be a whole number in plain decimal digits, not ${quoted(node.text)}.`);
    }
    if (node.value < min || node.value > max)
      return reading.error(node, 'value.range', `${what} must be between ${min} and ${max}, not ${node.value}.`);
    return node.value;
  };
}

export function boolean(what: string): Reader<boolean> {
  return (node, reading) =>
    node.kind === 'scalar' && typeof node.value === 'boolean' ? node.value : wrongType(node, reading, `${what} must be true or false`);
}

/** One of a closed set of words, written exactly so. */
export function oneOf<const W extends string>(what: string, words: readonly W[]): Reader<W> {
  return (node, reading) => {
    if (node.kind !== 'scalar' || typeof node.value !== 'string') return wrongType(node, reading, `${what} must be one of ${words.join(', ')}`);
    const found = words.find((word) => word === node.value);
    if (found !== undefined) return found;
    const close = words.find((word) => word.toLowerCase() === String(node.value).toLowerCase());
    const advice = close === undefined ? `Use one of ${words.join(', ')}.` : `Upper and lower case matter: write "${close}".`;
    return reading.error(node, 'value.enum', `${what} cannot be ${quoted(node.value)}. ${advice}`);
  };
}

/** Whatever is there, unread. */
export const anything: Reader<SourceNode> = (node) => node;

/** Reads with `reader`, then with a further demand on the value. */
export function refine<T, U>(reader: Reader<T>, then: (value: T, node: SourceNode, reading: Reading) => U | undefined): Reader<U> {
  return (node, reading) => {
    const value = reader(node, reading);
    return value === undefined ? undefined : then(value, node, reading);
  };
}

/** Reads with `reader`, then makes further demands on the value; an error of theirs refuses it. */
export function checked<T>(reader: Reader<T>, ...checks: readonly Check<NoInfer<T>>[]): Reader<T> {
  return (node, reading) => {
    const value = reader(node, reading);
    if (value === undefined) return undefined;
    const before = reading.problems.length;
    for (const check of checks) check(value, node, reading);
    return reading.problems.slice(before).some(({ severity }) => severity === 'error') ? undefined : value;
  };
}

function wrongType(node: SourceNode, reading: Reading, demand: string): undefined {
  return reading.error(node, 'value.type', `${demand}, not ${describe(node)}.`);
}

function describe(node: SourceNode): string {
  if (node.kind !== 'scalar') return `a ${node.kind}`;
  if (node.value === null) return 'null';
  if (typeof node.value === 'string') return `the text ${quoted(node.value)}`;
  return `the ${typeof node.value} ${node.text} (put it in quotes to make it text)`;
}
