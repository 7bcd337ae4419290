/** What can be decided about a packet, interned: equal decisions have equal numbers. */

import type { EntryVerdict, L7RuleSet } from '../resolution.ts';

/**
 * `enforced-default-deny` and `default-deny`: isolated and no rule matched, by policies of mode `enforce` or by those in
 * mode `observe` as well. Which policies those are belongs to the rule set, not to the decision.
 */
export type Decider = number | 'enforced-default-deny' | 'default-deny';

export interface Decision {
  readonly verdict: EntryVerdict;
  /** Rule id, 0 where no rule decided. */
  readonly by: Decider;
  readonly l7?: L7RuleSet;
  readonly log: boolean;
}

/** Number of the decision "allow, by no rule", which is also what an empty table answers. */
export const DEFAULT_ALLOW = 0;

export class DecisionTable {
  private readonly numbers = new Map<string, number>();
  private readonly decisions: Decision[] = [];

  constructor() {
    this.intern({ verdict: 'allow', by: 0, log: false });
  }

  intern(decision: Decision): number {
    const key = `${decision.verdict}|${decision.by}|${decision.log ? 1 : 0}|${decision.l7 === undefined ? '' : JSON.stringify(decision.l7)}`;
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.decisions.length;
      this.decisions.push(decision);
      this.numbers.set(key, number);
    }
    return number;
  }

  get(number: number): Decision {
    const decision = this.decisions[number];
    if (decision === undefined) throw new RangeError(`No decision has the number ${number}.`);
    return decision;
  }

  get size(): number {
    return this.decisions.length;
  }
}
