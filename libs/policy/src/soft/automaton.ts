/** Machines that run side by side as one table, made as small as it can be. */

import { DEAD, TooLarge, type Machine, type TableEffort } from './machine.ts';

const BYTES = 256;
/** Before it is made smaller. */
const MAX_STATES = 8192;

/** What a text means that has been read to its end; `undefined`: it is no such text. */
export type Outcome = bigint | undefined;

export interface Automaton {
  /** Class of each byte, from 0. Bytes of one class mean the same in every state. */
  readonly classes: Uint8Array;
  readonly classCount: number;
  /** By state, from 0, where reading starts. */
  readonly outcomes: readonly Outcome[];
  /** `state * classCount + class` → state, -1: no such text begins like this. */
  readonly next: Int32Array;
}

/** Runs an automaton; what the kernel does with its table. */
export function readWith({ classes, classCount, outcomes, next }: Automaton, bytes: Iterable<number>): Outcome {
  let state = 0;
  for (const byte of bytes) {
    state = next[state * classCount + (classes[byte] ?? 0)] ?? DEAD;
    if (state < 0) return undefined;
  }
  return outcomes[state];
}

/** Bytes with one and the same step in every machine come mostly in runs: only where a run ends is the state looked up. */
function sameSteps(steps: readonly number[], before: readonly number[] | undefined): boolean {
  return before !== undefined && steps.every((step, index) => step === before[index]);
}

/** Every state of all machines together that some text leads to. `machines[0]` says which texts there are at all. */
function explore(machines: readonly Machine[], outcomeOf: (accepts: readonly boolean[]) => Outcome, effort: TableEffort): { next: Int32Array[]; outcomes: Outcome[] } {
  const tuples: (readonly number[])[] = [machines.map(({ start }) => start)];
  const numbers = new Map([[String(tuples[0]), 0]]);
  const numberOf = (tuple: readonly number[]): number => {
    const key = String(tuple);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    if (tuples.length >= MAX_STATES) throw new TooLarge(`more than ${MAX_STATES} states together`);
    numbers.set(key, tuples.length);
    return tuples.push(tuple) - 1;
  };
  const next: Int32Array[] = [];
  for (let at = 0; at < tuples.length; at += 1) {
    const row = new Int32Array(BYTES).fill(DEAD);
    const alive = machines.flatMap((machine, index) => ((tuples[at]?.[index] ?? DEAD) === DEAD ? [] : [{ machine, index, state: tuples[at]?.[index] ?? DEAD }]));
    let steps: readonly number[] | undefined;
    let number = DEAD;
    effort.spend(BYTES * alive.length + machines.length);
    for (let byte = 0; byte < BYTES; byte += 1) {
      const now = alive.map(({ machine, state }) => machine.step(state, byte));
      if (!sameSteps(now, steps)) {
        const tuple = machines.map(() => DEAD);
        for (const [order, { index }] of alive.entries()) tuple[index] = now[order] ?? DEAD;
        number = tuple[0] === DEAD ? DEAD : numberOf(tuple);
        steps = now;
      }
      row[byte] = number;
    }
    next.push(row);
  }
  return { next, outcomes: tuples.map((tuple) => outcomeOf(machines.map((machine, index) => machine.accepts(tuple[index] ?? DEAD)))) };
}

/** Numbers equal texts equally, in order of appearance. */
function numbered(texts: readonly string[]): number[] {
  const numbers = new Map<string, number>();
  return texts.map((text) => {
    const number = numbers.get(text) ?? numbers.size;
    numbers.set(text, number);
    return number;
  });
}

/** States that no text tells apart get one number (Moore's partition refinement). */
function equivalent(next: readonly Int32Array[], outcomes: readonly Outcome[], columns: readonly number[], effort: TableEffort): number[] {
  let groups = numbered(outcomes.map(String));
  for (let count = 0; ; ) {
    const now = new Set(groups).size;
    if (now === count) return groups;
    count = now;
    effort.spend(groups.length * columns.length);
    groups = numbered(groups.map((group, state) => `${group}:${columns.map((byte) => groups[next[state]?.[byte] ?? DEAD] ?? DEAD).join()}`));
  }
}

/** Bytes whose columns are equal get one class, in order of appearance. */
function byteClasses(next: readonly Int32Array[]): number[] {
  let classes = new Array<number>(BYTES).fill(0);
  let count = 1;
  for (const row of next) {
    const numbers = new Map<number, number>();
    const refined = classes.map((one, byte) => {
      const key = one * 0x10000 + (row[byte] ?? DEAD) + 1;
      const number = numbers.get(key) ?? numbers.size;
      numbers.set(key, number);
      return number;
    });
    if (numbers.size > count) [classes, count] = [refined, numbers.size];
  }
  return classes;
}

/**
 * @param outcomeOf what a text means by which machines accept it
 * @throws TooLarge
 */
export function buildAutomaton(machines: readonly Machine[], outcomeOf: (accepts: readonly boolean[]) => Outcome, effort: TableEffort): Automaton {
  const { next, outcomes } = explore(machines, outcomeOf, effort);
  const rough = byteClasses(next);
  const columns = [...new Set(rough)].map((one) => rough.indexOf(one));
  const groups = equivalent(next, outcomes, columns, effort);
  const count = Math.max(...groups) + 1;
  const members = Array.from({ length: count }, (_, group) => groups.indexOf(group));
  const merged = members.map((state) => Int32Array.from(next[state] ?? [], (target) => groups[target] ?? DEAD));
  const classes = byteClasses(merged);
  const classCount = Math.max(...classes) + 1;
  const table = new Int32Array(count * classCount);
  for (const [state, row] of merged.entries()) for (let byte = 0; byte < BYTES; byte += 1) table[state * classCount + (classes[byte] ?? 0)] = row[byte] ?? DEAD;
  return { classes: Uint8Array.from(classes), classCount, outcomes: members.map((state) => outcomes[state]), next: table };
}
