import type { FlowRecord } from '@palisade/flow';

/** Rows that one second may produce. Denied flows have room of their own, so that a flood of allowed ones cannot crowd them out. */
export interface FlowBudget {
  readonly allowedRows: number;
  readonly otherRows: number;
}

export const DEFAULT_FLOW_BUDGET: FlowBudget = { allowedRows: 4_000, otherRows: 8_000 };

/** A uniform sample of unknown length in fixed memory (Vitter, "Random Sampling with a Reservoir", algorithm R). */
export class Reservoir {
  readonly #size: number;
  readonly #random: () => number;
  #kept: FlowRecord[] = [];
  #seen = 0;

  constructor(size: number, random: () => number) {
    this.#size = size;
    this.#random = random;
  }

  /** Counts one more and says where it goes; -1: it is left out. */
  place(): number {
    this.#seen++;
    if (this.#kept.length < this.#size) return this.#kept.length;
    const place = Math.floor(this.#random() * this.#seen);
    return place < this.#size ? place : -1;
  }

  put(place: number, flow: FlowRecord): void {
    this.#kept[place] = flow;
  }

  /** The sample, with weights that add up to what was added, and how many were left out. */
  take(): { flows: FlowRecord[]; sampled: number } {
    const kept = this.#kept;
    const seen = this.#seen;
    this.#kept = [];
    this.#seen = 0;
    const sampled = seen - kept.length;
    if (sampled === 0) return { flows: kept, sampled };
    const each = Math.floor(seen / kept.length);
    const larger = seen % kept.length;
    return { flows: kept.map((flow, index) => ({ ...flow, weight: each + (index < larger ? 1 : 0) })), sampled };
  }
}

/** Keeps a window's flows within the budget. What is left out is counted and stood for by weights, never lost silently. */
export class FlowSampler {
  readonly #allowed: Reservoir;
  readonly #others: Reservoir;

  constructor(budget: FlowBudget = DEFAULT_FLOW_BUDGET, random: () => number = Math.random) {
    this.#allowed = new Reservoir(budget.allowedRows, random);
    this.#others = new Reservoir(budget.otherRows, random);
  }

  /** `plain`: forwarded, and no shadow policy says otherwise. */
  reservoir(plain: boolean): Reservoir {
    return plain ? this.#allowed : this.#others;
  }

  /** Ends the window. `others`: everything that is not plain forwarding. */
  take(): { allowed: FlowRecord[]; others: FlowRecord[]; sampled: number } {
    const allowed = this.#allowed.take();
    const others = this.#others.take();
    return { allowed: allowed.flows, others: others.flows, sampled: allowed.sampled + others.sampled };
  }
}
