/** Deterministic machines over bytes, and RE2 expressions as such machines. */

import { RE2JS } from 're2js';

/** Reads one text byte by byte. States are small numbers of its own; -1: whatever follows, it does not match. */
export interface Machine {
  readonly start: number;
  step(state: number, byte: number): number;
  /** Whether what was read up to here is a match as a whole. */
  accepts(state: number): boolean;
}

export const DEAD = -1;

/** An expression whose machine would be larger than anything that is judged in the kernel. */
export class TooLarge extends Error {}

/**
 * How much may be computed, in steps that each take some 50 ns: a few characters can keep the process that compiles them from
 * answering anybody for long. Counted, not timed, so that a policy is accepted everywhere or nowhere.
 */
export class TableEffort {
  readonly #limit: number;
  readonly #what: string;
  readonly #within: TableEffort | undefined;
  #left: number;

  /** @param what begins the sentence that it takes too many steps @param within a larger one that pays for this one too */
  constructor(steps: number, what: string, within?: TableEffort) {
    this.#limit = steps;
    this.#left = steps;
    this.#what = what;
    this.#within = within;
  }

  /** @throws TooLarge */
  spend(steps: number): void {
    this.#within?.spend(steps);
    this.#left -= steps;
    if (this.#left < 0) throw new TooLarge(`${this.#what} takes more than ${this.#limit} steps`);
  }
}

/** Of one machine, before it is made smaller. */
const MAX_STATES = 4096;

/** `step` and `accepts` of states that are values, with equal values (by `key`) made one number. */
export function machineOf<S>(start: S, key: (state: S) => string, step: (state: S, byte: number) => S | undefined, accepts: (state: S) => boolean): Machine {
  const states: S[] = [];
  const numbers = new Map<string, number>();
  const steps: Int32Array[] = [];
  const UNKNOWN = -2;
  const numberOf = (state: S): number => {
    const text = key(state);
    const known = numbers.get(text);
    if (known !== undefined) return known;
    if (states.length >= MAX_STATES) throw new TooLarge(`more than ${MAX_STATES} states`);
    states.push(state);
    steps.push(new Int32Array(256).fill(UNKNOWN));
    numbers.set(text, states.length - 1);
    return states.length - 1;
  };
  const first = numberOf(start);
  return {
    start: first,
    step(number, byte) {
      const [state, row] = [states[number], steps[number]];
      if (state === undefined || row === undefined) return DEAD;
      let next = row[byte] ?? DEAD;
      if (next === UNKNOWN) {
        const found = step(state, byte);
        row[byte] = next = found === undefined ? DEAD : numberOf(found);
      }
      return next;
    },
    accepts(number) {
      const state = states[number];
      return state !== undefined && accepts(state);
    },
  };
}

/** The instructions of re2js's compiled programs: it has read the expression, so that both mean the same by it. */
interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  matchRune(rune: number): boolean;
}
const OP = { alt: 1, altMatch: 2, capture: 3, emptyWidth: 4, fail: 5, match: 6, nop: 7, rune: 8, rune1: 9, any: 10, anyButNewline: 11 } as const;
const NEWLINE = 10;
const BEGIN = -1;
const END = -1;

function isWord(rune: number): boolean {
  return (rune >= 48 && rune <= 57) || (rune >= 65 && rune <= 90) || rune === 95 || (rune >= 97 && rune <= 122);
}

/** What holds between two characters: `^`, `$`, `\A`, `\z`, `\b`, `\B` as bits. */
function emptyWidths(before: number, after: number): number {
  const beginsLine = before === BEGIN || before === NEWLINE ? 1 : 0;
  const endsLine = after === END || after === NEWLINE ? 2 : 0;
  const text = (before === BEGIN ? 4 : 0) | (after === END ? 8 : 0);
  return beginsLine | endsLine | text | (isWord(before) === isWord(after) ? 32 : 16);
}

/** Instructions that read a character or match, reached from `from` where `widths` hold. */
function reached(program: readonly Instruction[], from: readonly number[], widths: number): readonly number[] {
  const seen = new Set<number>();
  const waiting = [...from];
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    const instruction = program[at];
    if (instruction === undefined || seen.has(at)) continue;
    seen.add(at);
    switch (instruction.op) {
      case OP.alt:
      case OP.altMatch:
        waiting.push(instruction.out, instruction.arg);
        break;
      case OP.capture:
      case OP.nop:
        waiting.push(instruction.out);
        break;
      case OP.emptyWidth:
        if ((instruction.arg & ~widths) === 0) waiting.push(instruction.out);
        break;
    }
  }
  return [...seen];
}

function reads(instruction: Instruction, byte: number): boolean {
  if (instruction.op === OP.any) return true;
  if (instruction.op === OP.anyButNewline) return byte !== NEWLINE;
  return (instruction.op === OP.rune || instruction.op === OP.rune1) && instruction.matchRune(byte);
}

interface Threads {
  readonly at: readonly number[];
  readonly before: number;
}

/** Characters that no expression tells apart from one another as predecessors are one. */
function kindOf(byte: number): number {
  return byte === NEWLINE ? NEWLINE : isWord(byte) ? 97 : 32;
}

/**
 * An RE2 expression over the whole text, bytes as the characters U+0000 to U+00FF: the same answer as `compileWholeMatch`.
 * @throws re2js's syntax error, TooLarge
 */
export function expressionMachine(expression: string, effort: TableEffort): Machine {
  const { prog } = RE2JS.compile(expression, RE2JS.DOTALL).re2Input;
  const program: readonly Instruction[] = prog.inst;
  return machineOf<Threads>(
    { at: [prog.start], before: BEGIN },
    ({ at, before }) => `${before}:${at.join()}`,
    ({ at, before }, byte) => {
      const next = new Set<number>();
      const instructions = reached(program, at, emptyWidths(before, byte));
      effort.spend(at.length + instructions.length);
      for (const one of instructions) {
        const instruction = program[one];
        if (instruction !== undefined && reads(instruction, byte)) next.add(instruction.out);
      }
      return next.size === 0 ? undefined : { at: [...next].sort((a, b) => a - b), before: kindOf(byte) };
    },
    ({ at, before }) => reached(program, at, emptyWidths(before, END)).some((one) => program[one]?.op === OP.match),
  );
}
