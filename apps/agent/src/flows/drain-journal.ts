import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { EMPTY_ACCOUNT, type FlowAccount } from '@palisade/flow';

/** What is in the agent's memory only: were it killed now, this is what would be lost. */
export interface DrainJournalEntry {
  readonly bootId: string;
  /** Of the batch that the drained events will go into. */
  readonly seq: number;
  /** Events drained from the kernel for that batch. */
  readonly drained: number;
  /** The kernel's loss counters as of the last batch. */
  readonly ringFull: number;
  readonly evicted: number;
  /** What the next batch has to say of batches that were given up. */
  readonly unsaid: FlowAccount;
}

const ROOM = 1024;

/**
 * A few bytes that are rewritten in place right after every drain. The page cache keeps them when the process is killed;
 * when the machine stops, the kernel's tables are gone with them.
 */
export class DrainJournal {
  readonly #descriptor: number;
  /** As the process before left it; undefined after a first start or where it cannot be read. */
  readonly before: DrainJournalEntry | undefined;

  constructor(folder: string) {
    const path = join(folder, 'drain-journal');
    this.before = readEntry(path);
    const fresh = `${path}.new`;
    writeFileSync(fresh, this.before === undefined ? '' : encode(this.before), { mode: 0o600 });
    renameSync(fresh, path);
    this.#descriptor = openSync(path, 'r+');
  }

  write(entry: DrainJournalEntry): void {
    writeSync(this.#descriptor, encode(entry), 0);
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function encode(entry: DrainJournalEntry): string {
  return JSON.stringify(entry).padEnd(ROOM);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function readEntry(path: string): DrainJournalEntry | undefined {
  try {
    const entry = JSON.parse(readFileSync(path, 'utf8')) as Partial<DrainJournalEntry>;
    const { bootId, seq, drained, ringFull, evicted } = entry;
    if (typeof bootId !== 'string' || !isCount(seq) || !isCount(drained) || !isCount(ringFull) || !isCount(evicted)) return undefined;
    return { bootId, seq, drained, ringFull, evicted, unsaid: entry.unsaid ?? EMPTY_ACCOUNT };
  } catch {
    return undefined;
  }
}
