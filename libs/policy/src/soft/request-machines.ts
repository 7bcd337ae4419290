/** The parts of an HTTP/1 request's head as machines: what two readers could read differently is no match (RFC 9112 §2–§6). */

import { machineOf, type Machine } from './machine.ts';

const ch = (text: string): number => text.charCodeAt(0);
const bytesOf = (text: string): ReadonlySet<number> => new Set(Array.from(text, ch));
const ALNUM = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const TOKEN = bytesOf(`!#$%&'*+-.^_\`|~${ALNUM}`);
const UNRESERVED = bytesOf(`-._~${ALNUM}`);
/** As the HTTP gate takes paths; % is looked at by itself. */
const PATH = bytesOf(`-._~!$&'()*+,;=:@|^\`{}"<>[]${ALNUM}`);
const CR = 0x0d;
const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09;

const simple = <S extends string>(start: S, step: (state: S, byte: number) => S | undefined, accepts: (state: S) => boolean): Machine =>
  machineOf(start, (state) => state, step, accepts);

/** One or more token characters (RFC 9110 §5.6.2). */
export function tokenMachine(): Machine {
  return simple<'none' | 'some'>('none', (_, byte) => (TOKEN.has(byte) ? 'some' : undefined), (state) => state === 'some');
}

/** Exactly this text, each character a byte. */
export function literalMachine(text: string): Machine {
  return machineOf<number>(0, String, (at, byte) => (text.charCodeAt(at) === byte ? at + 1 : undefined), (at) => at === text.length);
}

function hexValue(byte: number): number {
  if (byte >= ch('0') && byte <= ch('9')) return byte - ch('0');
  return byte >= ch('A') && byte <= ch('F') ? byte - ch('A') + 10 : -1;
}

/** Escapes that stand in a normal form: of none of the unreserved characters, no encoded slash or backslash, no control character. */
function staysEscaped(code: number): boolean {
  return code >= 0x20 && code !== 0x7f && code !== ch('/') && code !== ch('\\') && !UNRESERVED.has(code);
}

/**
 * A request target in origin form that is its own normal form (RFC 3986 §6.2.2), with or without query: what is judged is
 * what the server reads. Escapes in upper case and only where they are needed, no empty, `.` or `..` segments.
 */
export function targetMachine(): Machine {
  return simple<string>(
    'start',
    (state, byte) => {
      if (state === 'start') return byte === ch('/') ? 'slash' : undefined;
      if (state === 'query') return byte > 0x20 && byte < 0x7f && byte !== ch('#') ? 'query' : undefined;
      if (state === '%') return hexValue(byte) >= 0 ? `%${hexValue(byte)}` : undefined;
      if (state.startsWith('%')) return hexValue(byte) >= 0 && staysEscaped(Number(state.slice(1)) * 16 + hexValue(byte)) ? 'inside' : undefined;
      if (byte === ch('/')) return state === 'inside' ? 'slash' : undefined;
      if (byte === ch('?')) return state === 'inside' || state === 'slash' ? 'query' : undefined;
      if (byte === ch('%')) return '%';
      if (byte === ch('.') && state !== 'inside') return state === 'slash' ? 'dot' : state === 'dot' ? 'dots' : 'inside';
      return PATH.has(byte) ? 'inside' : undefined;
    },
    (state) => state === 'slash' || state === 'inside' || state === 'query',
  );
}

/** `HTTP/1.0` or `HTTP/1.1` with the CR of its line. */
export function versionMachine(): Machine {
  const text = 'HTTP/1.';
  return machineOf<number>(0, String, (at, byte) => {
    if (at < text.length) return text.charCodeAt(at) === byte ? at + 1 : undefined;
    if (at === text.length) return byte === ch('0') || byte === ch('1') ? at + 1 : undefined;
    return at === text.length + 1 && byte === CR ? at + 1 : undefined;
  }, (at) => at === text.length + 2);
}

/** A header field's line with its CR, or the CR alone that ends the head. No continuation lines, no control characters. */
export function lineMachine(): Machine {
  return simple<'start' | 'name' | 'value' | 'end'>(
    'start',
    (state, byte) => {
      if (state === 'end') return undefined;
      if (state === 'value') return byte === CR ? 'end' : byte === 0x09 || (byte >= 0x20 && byte !== 0x7f) ? 'value' : undefined;
      if (state === 'start' && byte === CR) return 'end';
      if (state === 'name' && byte === ch(':')) return 'value';
      return TOKEN.has(byte) ? 'name' : undefined;
    },
    (state) => state === 'end',
  );
}

/** The line that ends a head. */
export function blankLineMachine(): Machine {
  return literalMachine('\r');
}

interface FieldState {
  readonly at: 'name' | 'before' | 'value' | 'after' | 'end';
  /** Characters of the name, or the value's state. */
  readonly number: number;
  /** Of a value that may hold blanks: its state with those that were read since, which count only if more follows. */
  readonly pending: number;
}

/**
 * The line of one field whose value, without the blanks around it, `value` accepts; `undefined`: any value. Names are
 * compared without regard to case.
 */
export function fieldMachine(name: string, value: Machine | undefined): Machine {
  const lower = name.toLowerCase();
  const fold = (byte: number): number => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
  const done: FieldState = { at: 'end', number: 0, pending: 0 };
  const inside = (number: number): FieldState | undefined => (number < 0 ? undefined : { at: 'value', number, pending: number });
  return machineOf<FieldState>(
    { at: 'name', number: 0, pending: 0 },
    ({ at, number, pending }) => `${at}${number},${pending}`,
    (state, byte) => {
      if (state.at === 'end') return undefined;
      if (state.at === 'name') {
        if (state.number === lower.length) return byte === ch(':') && lower !== '' ? { at: 'before', number: 0, pending: 0 } : undefined;
        return fold(byte) === lower.charCodeAt(state.number) ? { at: 'name', number: state.number + 1, pending: 0 } : undefined;
      }
      if (value === undefined) return byte === CR ? done : state;
      if (byte === CR) return value.accepts(state.at === 'before' ? value.start : state.number) ? done : undefined;
      if (state.at === 'before') return isBlank(byte) ? state : inside(value.step(value.start, byte));
      // A blank may end the value or stand in it; `pending` goes on with it, `number` stays where the value may have ended.
      if (isBlank(byte)) return { at: 'after', number: state.number, pending: state.pending < 0 ? state.pending : value.step(state.pending, byte) };
      return state.pending < 0 ? undefined : inside(value.step(state.pending, byte));
    },
    ({ at }) => at === 'end',
  );
}
