import { join } from 'node:path';
import type { ClusterFacts, FactsIncrement } from '@palisade/policy';
import { appendDurably, readIfPresent, removeIfPresent, writeDurably } from '../state/durable-file.ts';
import { applyIncrement } from './apply-increment.ts';

export interface StoredFacts {
  /** Decimal. */
  readonly epoch: string;
  readonly facts: ClusterFacts;
}

/** After so many steps, or bytes of them, the log is folded into the snapshot. */
const FOLD_STEPS = 500;
const FOLD_BYTES = 4 * 1024 * 1024;

/**
 * The facts on disk: a snapshot, and the steps since, one JSON line each. A step costs its own size, not that of the
 * whole; a line that a kill cut off is as if it had not come: the stream is asked again from there.
 */
export class FactsLog {
  readonly #snapshot: string;
  readonly #steps: string;
  readonly #foldSteps: number;
  #count = 0;
  #bytes = 0;

  constructor(dir: string, foldSteps = FOLD_STEPS) {
    this.#foldSteps = foldSteps;
    this.#snapshot = join(dir, 'identities/facts.json');
    this.#steps = join(dir, 'identities/steps.ndjson');
  }

  /** Snapshot and steps put together; undefined before the first snapshot. Changes nothing on disk. */
  read(): StoredFacts | undefined {
    const bytes = readIfPresent(this.#snapshot);
    if (bytes === undefined) return undefined;
    const stored = JSON.parse(bytes.toString('utf8')) as StoredFacts;
    let { facts } = stored;
    for (const step of this.#readSteps()) if (step.previousRevision === facts.identityRevision) facts = applyIncrement(facts, step);
    return { epoch: stored.epoch, facts };
  }

  /** Replaces everything. Also folds the log, and drops a line that was cut off. */
  save(stored: StoredFacts): void {
    writeDurably(this.#snapshot, JSON.stringify(stored));
    // Steps that a kill leaves behind here start below the snapshot and are skipped.
    removeIfPresent(this.#steps);
    this.#count = 0;
    this.#bytes = 0;
  }

  /** @param after what the facts are with this step, for the times when the log is folded */
  append(step: FactsIncrement, after: StoredFacts): void {
    const line = `${JSON.stringify(step)}\n`;
    this.#count += 1;
    this.#bytes += line.length;
    if (this.#count > this.#foldSteps || this.#bytes > FOLD_BYTES) this.save(after);
    else appendDurably(this.#steps, line);
  }

  #readSteps(): readonly FactsIncrement[] {
    const text = readIfPresent(this.#steps)?.toString('utf8') ?? '';
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    return whole.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as FactsIncrement);
  }
}
