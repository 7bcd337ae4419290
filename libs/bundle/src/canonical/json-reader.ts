import { BundleError } from '../bundle-error.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { JsonValue } from './canonical-json.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses UTF-8 JSON under a size and a depth cap.
 * @throws BundleError `too-large`, `malformed`
 */
export function parseJson(bytes: Uint8Array, maxBytes: number, what: string): JsonValue {
  if (bytes.byteLength > maxBytes) throw new BundleError('too-large', `${what} has ${bytes.byteLength} bytes, at most ${maxBytes} are read`);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new BundleError('malformed', `${what} is not valid UTF-8`);
  }
  assertDepth(text, what);
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw new BundleError('malformed', `${what} is not valid JSON`);
  }
}

/** Counts brackets outside strings, so that nesting is bounded before the recursive parser sees it. */
function assertDepth(text: string, what: string): void {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (inString) {
      if (code === 0x5c) i += 1;
      else if (code === 0x22) inString = false;
    } else if (code === 0x22) inString = true;
    else if (code === 0x7b || code === 0x5b) {
      depth += 1;
      if (depth > BUNDLE_LIMITS.jsonDepth) throw new BundleError('malformed', `${what} is nested deeper than ${BUNDLE_LIMITS.jsonDepth} levels`);
    } else if (code === 0x7d || code === 0x5d) depth -= 1;
  }
}

export interface IntegerRange {
  readonly min: number;
  readonly max: number;
}

/** A strict cursor into parsed JSON: every read checks the type, and every complaint names the place. */
export class JsonReader {
  readonly value: JsonValue | undefined;
  readonly pointer: string;

  constructor(value: JsonValue | undefined, pointer = '') {
    this.value = value;
    this.pointer = pointer;
  }

  /** @throws BundleError `malformed` always */
  fail(message: string): never {
    throw new BundleError('malformed', message, this.pointer);
  }

  get absent(): boolean {
    return this.value === undefined;
  }

  /** An object with no members but these. `open`: others are allowed (TUF 4.3: unknown attributes are ignored). */
  object(known: readonly string[], open = false): { readonly [key: string]: JsonValue | undefined } {
    const object = this.record();
    if (!open) {
      for (const key of Object.keys(object)) if (!known.includes(key)) this.member(key).fail('this member is not known here');
    }
    return object;
  }

  /** An object whose members are data, own properties only. */
  record(): { readonly [key: string]: JsonValue | undefined } {
    const value = this.value;
    if (value === null || typeof value !== 'object' || Array.isArray(value)) this.fail('an object is needed here');
    return value as { readonly [key: string]: JsonValue | undefined };
  }

  member(key: string): JsonReader {
    const object = this.record();
    const value = Object.hasOwn(object, key) ? object[key] : undefined;
    return new JsonReader(value, `${this.pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`);
  }

  entries(max: number): (readonly [string, JsonReader])[] {
    const keys = Object.keys(this.record());
    if (keys.length > max) this.fail(`at most ${max} members are read here, there are ${keys.length}`);
    return keys.map((key) => [key, this.member(key)] as const);
  }

  array(max: number): JsonReader[] {
    const value = this.value;
    if (!Array.isArray(value)) this.fail('a list is needed here');
    if (value.length > max) this.fail(`at most ${max} items are read here, there are ${value.length}`);
    return (value as readonly JsonValue[]).map((item, index) => new JsonReader(item, `${this.pointer}/${index}`));
  }

  string(pattern?: RegExp, maxLength = 1024): string {
    const value = this.value;
    if (typeof value !== 'string') this.fail('a string is needed here');
    if (value.length > maxLength) this.fail(`at most ${maxLength} characters are read here`);
    if (pattern !== undefined && !pattern.test(value)) this.fail(`this does not have the form ${pattern.source}`);
    return value;
  }

  oneOf<const T extends string>(choices: readonly T[]): T {
    const value = this.string();
    if (!(choices as readonly string[]).includes(value)) this.fail(`one of ${choices.join(', ')} is needed here`);
    return value as T;
  }

  boolean(): boolean {
    if (typeof this.value !== 'boolean') this.fail('true or false is needed here');
    return this.value;
  }

  integer(range: IntegerRange = { min: 0, max: Number.MAX_SAFE_INTEGER }): number {
    const value = this.value;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) this.fail('an integer is needed here');
    if (value < range.min || value > range.max) this.fail(`an integer from ${range.min} to ${range.max} is needed here`);
    return value;
  }

  /** An unsigned 64-bit integer written as a decimal string. */
  u64(): bigint {
    const value = BigInt(this.string(/^(0|[1-9][0-9]{0,19})$/));
    if (value > 0xffff_ffff_ffff_ffffn) this.fail('an unsigned 64-bit integer is needed here');
    return value;
  }

  /** A {@link u64} that fits a JavaScript integer. */
  revision(): number {
    const value = this.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail('this revision is beyond 2^53');
    return Number(value);
  }

  sha256(): string {
    return this.string(/^[0-9a-f]{64}$/);
  }

  /** RFC 3339 UTC to the second (TUF 4.2.1), as Unix milliseconds. */
  time(): number {
    const text = this.string(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const ms = Date.parse(text);
    if (Number.isNaN(ms)) this.fail('this is not a date');
    return ms;
  }
}

/** RFC 3339 UTC to the second, the only form signed documents carry. */
export function formatTime(ms: number): string {
  return `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}
