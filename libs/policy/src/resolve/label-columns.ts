/** Labels of all bases by column, so that a selector is decided for everybody by comparing small integers. */

import type { LabelRequirement, LabelSelector } from '../ir.ts';
import { compileRequirements, withSource } from '../labels.ts';
import type { PeerBase } from './peer-base.ts';

/** Values of one label key; row of a base → number of its value, 0 where it lacks the label. */
interface Column {
  readonly key: string;
  readonly numbers: Map<string, number>;
  rows: Int32Array;
  /** Bases by number of value. */
  readonly holders: Set<PeerBase>[];
}

type BaseTest = (base: PeerBase) => boolean;

/**
 * A key gets its column when the first selector asks for it: clusters have many labels, policies name few.
 * Keys of the source `any` have none: a base may hold several values.
 */
export class LabelColumns {
  private readonly all = new Set<PeerBase>();
  private readonly columns = new Map<string, Column>();
  private readonly freeSlots: number[] = [];
  private slots = 0;

  add(base: PeerBase): void {
    base.slot = this.freeSlots.pop() ?? this.slots++;
    this.all.add(base);
    for (const column of this.columns.values()) this.enter(column, base);
  }

  remove(base: PeerBase): void {
    this.all.delete(base);
    this.freeSlots.push(base.slot);
    for (const column of this.columns.values()) column.holders[column.rows[base.slot] ?? 0]?.delete(base);
  }

  /** Bases whose labels fulfil every requirement; all of them where there is none. */
  matching(selector: LabelSelector | undefined): Iterable<PeerBase> {
    const requirements = selector?.requirements ?? [];
    if (requirements.length === 0) return this.all;
    let rarest: readonly Iterable<PeerBase>[] = [this.all];
    let fewest = this.all.size;
    const tests: BaseTest[] = [];
    for (const requirement of requirements) {
      const key = withSource(requirement.key);
      if (key.startsWith('any:')) {
        const test = compileRequirements({ requirements: [requirement], localCluster: false });
        tests.push(({ nature }) => test(nature.seen));
        continue;
      }
      const column = this.column(key);
      const numbers = numbersOf(column, requirement);
      tests.push(columnTest(column, requirement.operator, numbers));
      const holders = holdersOf(column, requirement.operator, numbers);
      const size = holders?.reduce((sum, { size: held }) => sum + held, 0) ?? Infinity;
      if (holders === undefined || size >= fewest) continue;
      rarest = holders;
      fewest = size;
    }
    const found: PeerBase[] = [];
    for (const list of rarest) for (const base of list) if (tests.every((test) => test(base))) found.push(base);
    return found;
  }

  private column(key: string): Column {
    let column = this.columns.get(key);
    if (column === undefined) {
      column = { key, numbers: new Map(), rows: new Int32Array(Math.max(64, this.slots * 2)), holders: [new Set()] };
      this.columns.set(key, column);
      for (const base of this.all) this.enter(column, base);
    }
    return column;
  }

  private enter(column: Column, base: PeerBase): void {
    const value = base.nature.seen.get(column.key);
    let number = 0;
    if (value !== undefined) {
      number = column.numbers.get(value) ?? column.holders.length;
      if (number === column.holders.length) {
        column.numbers.set(value, number);
        column.holders.push(new Set());
      }
    }
    if (base.slot >= column.rows.length) {
      const grown = new Int32Array(Math.max(base.slot + 1, column.rows.length * 2));
      grown.set(column.rows);
      column.rows = grown;
    }
    column.rows[base.slot] = number;
    if (number > 0) column.holders[number]?.add(base);
  }
}

/** Numbers of the requirement's values that occur at all. */
function numbersOf({ numbers }: Column, { values }: LabelRequirement): readonly number[] {
  return [...new Set(values)].map((value) => numbers.get(value)).filter((number) => number !== undefined);
}

function columnTest(column: Column, operator: LabelRequirement['operator'], numbers: readonly number[]): BaseTest {
  const [only] = numbers;
  const isIn: BaseTest = numbers.length === 1 ? ({ slot }) => column.rows[slot] === only : ({ slot }) => numbers.includes(column.rows[slot] ?? 0);
  switch (operator) {
    case 'in':
      return isIn;
    case 'not-in':
      return (base) => !isIn(base);
    case 'exists':
      return ({ slot }) => column.rows[slot] !== 0;
    case 'not-exists':
      return ({ slot }) => column.rows[slot] === 0;
  }
}

/** Disjoint sets that together hold everybody who can match; undefined where lacking the label matches too. */
function holdersOf({ holders }: Column, operator: LabelRequirement['operator'], numbers: readonly number[]): readonly Set<PeerBase>[] | undefined {
  if (operator === 'in') return numbers.map((number) => holders[number] ?? new Set());
  return operator === 'exists' ? holders.slice(1) : undefined;
}
