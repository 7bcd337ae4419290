import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { FlowAccount } from '@palisade/flow';
import { decodeFlowBatch } from '@palisade/protocol';

export interface FlowSpoolLimits {
  readonly bytes: number;
  readonly batches: number;
}

export const DEFAULT_FLOW_SPOOL: FlowSpoolLimits = { bytes: 128 * 1024 * 1024, batches: 20_000 };

/** One batch on disk, waiting for its receipt. */
export interface SpooledBatch {
  readonly file: string;
  readonly bytes: number;
  /** It carries denied flows: shed last. */
  readonly important: boolean;
}

const NAME = /^(\d{15})-(\d{10})-([ip])\.batch$/;

/** Called with what a batch said when it is given up, so that its flows stay accounted for. */
export type OnShed = (account: FlowAccount) => void;

/**
 * Batches on disk, oldest first. A batch is there when `add` returns (written, synced, renamed, folder synced) and stays
 * until `remove`. Over the limits the oldest batch without denied flows goes first, then the oldest at all.
 */
export class FlowSpool {
  readonly #folder: string;
  readonly #limits: FlowSpoolLimits;
  readonly #onShed: OnShed;
  #waiting: SpooledBatch[] = [];
  #bytes = 0;
  #last = 0;
  #changed: (() => void)[] = [];

  constructor(folder: string, onShed: OnShed, limits: FlowSpoolLimits = DEFAULT_FLOW_SPOOL) {
    this.#folder = folder;
    this.#limits = limits;
    this.#onShed = onShed;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(folder).toSorted()) this.#recover(file);
  }

  #recover(file: string): void {
    const path = join(this.#folder, file);
    const match = NAME.exec(file);
    // What was not renamed was never promised.
    if (file.endsWith('.partial')) unlinkSync(path);
    if (match === null) return;
    const { size } = statSync(path);
    this.#waiting.push({ file, bytes: size, important: match[3] === 'i' });
    this.#bytes += size;
    this.#last = Math.max(this.#last, Number(match[1]));
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** Share of the limits that is used, 0 to 1. */
  get fill(): number {
    return Math.max(this.#bytes / this.#limits.bytes, this.#waiting.length / this.#limits.batches);
  }

  /** Makes a batch durable. Blocks for the disk; some milliseconds. @throws the file system's error when it cannot be written */
  add(batch: Uint8Array, seq: number, important: boolean): void {
    // Later than every batch before, also when the clock was set back.
    this.#last = Math.max(Date.now(), this.#last + 1);
    const file = `${String(this.#last).padStart(15, '0')}-${String(seq).padStart(10, '0')}-${important ? 'i' : 'p'}.batch`;
    const partial = join(this.#folder, `${file}.partial`);
    const descriptor = openSync(partial, 'w', 0o600);
    try {
      for (let written = 0; written < batch.length; ) written += writeSync(descriptor, batch, written);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(partial, join(this.#folder, file));
    this.#syncFolder();
    this.#waiting.push({ file, bytes: batch.length, important });
    this.#bytes += batch.length;
    this.#shed();
    for (const wake of this.#changed.splice(0)) wake();
  }

  #syncFolder(): void {
    const descriptor = openSync(this.#folder, 'r');
    try {
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  #shed(): void {
    while (this.#waiting.length > 1 && this.fill > 1) {
      const victim = this.#waiting.find(({ important }) => !important) ?? (this.#waiting[0] as SpooledBatch);
      this.giveUp(victim);
    }
  }

  /** Removes a batch that will never be stored and reports what it said. */
  giveUp(batch: SpooledBatch): void {
    try {
      this.#onShed(decodeFlowBatch(readFileSync(join(this.#folder, batch.file))).account);
    } finally {
      this.remove(batch);
    }
  }

  /** The oldest batches after those that `skip` names. */
  oldest(count: number, skip: ReadonlySet<string>): SpooledBatch[] {
    const found: SpooledBatch[] = [];
    for (const batch of this.#waiting) {
      if (found.length >= count) break;
      if (!skip.has(batch.file)) found.push(batch);
    }
    return found;
  }

  /** @returns undefined when it was shed meanwhile */
  read(batch: SpooledBatch): Uint8Array | undefined {
    return this.#waiting.includes(batch) ? readFileSync(join(this.#folder, batch.file)) : undefined;
  }

  /** The gateway has it. Not synced: a batch that comes back is a duplicate there. */
  remove(batch: SpooledBatch): void {
    const index = this.#waiting.indexOf(batch);
    if (index < 0) return;
    this.#waiting.splice(index, 1);
    this.#bytes -= batch.bytes;
    unlinkSync(join(this.#folder, batch.file));
  }

  /** Header and account of every waiting batch; for the start after a crash. Unreadable ones are removed. */
  contains(bootId: string, seq: number): boolean {
    const wanted = `-${String(seq).padStart(10, '0')}-`;
    return this.#waiting.filter(({ file }) => file.includes(wanted)).some((batch) => {
      try {
        return decodeFlowBatch(readFileSync(join(this.#folder, batch.file))).bootId === bootId;
      } catch {
        return false;
      }
    });
  }

  /** Fulfils when a batch is added. */
  added(): Promise<void> {
    return new Promise((wake) => this.#changed.push(wake));
  }
}
