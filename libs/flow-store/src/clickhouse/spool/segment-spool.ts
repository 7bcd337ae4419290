import { open, readFile, type FileHandle } from 'node:fs/promises';
import { DomainError } from '@palisade/errors';
import { decodeRecords, encodeRecord, type SpoolRecord } from './spool-record.ts';
import { SpoolFolder, type SealedSegment } from './spool-folder.ts';

export interface SpoolOptions {
  /** Over this nothing more is taken: agents keep their batches. */
  readonly maxBytes: number;
  /** A segment is sealed with so many rows, */
  readonly sealRows: number;
  /** or when its oldest record has waited so long. */
  readonly sealAfterMs: number;
}

export const DEFAULT_SPOOL: SpoolOptions = { maxBytes: 2 * 2 ** 30, sealRows: 50_000, sealAfterMs: 500 };

/** Whether a record's batches are in the ledger; undefined: the commit's answer was lost. */
type Fate = boolean | undefined;

/** A record on disk whose commit is under way. */
export interface AppendedRecord {
  /** To be called exactly once. */
  settle(committed: Fate): void;
}

/** A segment that takes no more records; what became of each is known, or still to be found out. */
interface ClosedSegment {
  readonly number: number;
  readonly bytes: number;
  readonly fates: readonly Promise<Fate>[] | 'unknown';
}

class OpenSegment {
  readonly number: number;
  readonly openedAt = performance.now();
  readonly fates: Promise<Fate>[] = [];
  readonly #file: FileHandle;
  bytes = 0;
  rows = 0;

  constructor(number: number, file: FileHandle) {
    this.number = number;
    this.#file = file;
  }

  async append(record: Buffer, rows: number): Promise<AppendedRecord> {
    try {
      await this.#file.write(record, 0, record.length, this.bytes);
      await this.#file.datasync();
    } catch (cause) {
      // What was written in part must not hide what comes after it.
      await this.#file.truncate(this.bytes);
      throw new DomainError('service.unavailable', 'The flow spool cannot be written; see to the disk of FLOW_SPOOL_DIR.', { cause });
    }
    this.bytes += record.length;
    this.rows += rows;
    const { promise, resolve } = Promise.withResolvers<Fate>();
    this.fates.push(promise);
    return { settle: resolve };
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** Says for each record whether its batches are in the ledger. Rejects when that cannot be found out now. */
export type FateFinder = (records: readonly SpoolRecord[]) => Promise<readonly boolean[]>;

/**
 * Records on the gateway's disk between their commit in the ledger and their landing in ClickHouse. They are collected into
 * segments; a sealed one never changes, so every retry inserts the same rows under the same token.
 */
export class SegmentSpool {
  readonly #folder: SpoolFolder;
  readonly #options: SpoolOptions;
  readonly #closed: ClosedSegment[];
  readonly #sealed: SealedSegment[];
  #open: OpenSegment | undefined;
  #last: number;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(folder: SpoolFolder, options: SpoolOptions, found: Awaited<ReturnType<SpoolFolder['found']>>) {
    this.#folder = folder;
    this.#options = options;
    this.#sealed = [...found.sealed];
    this.#closed = found.open.map((one) => ({ ...one, fates: 'unknown' }));
    this.#last = found.last;
  }

  static async open(path: string, options: Partial<SpoolOptions> = {}): Promise<SegmentSpool> {
    const folder = await SpoolFolder.open(path);
    return new SegmentSpool(folder, { ...DEFAULT_SPOOL, ...options }, await folder.found());
  }

  /** Who numbers the segments: random, made with the folder. */
  get writer(): string {
    return this.#folder.writer;
  }

  get bytes(): number {
    return [...this.#sealed, ...this.#closed].reduce((sum, { bytes }) => sum + bytes, this.#open?.bytes ?? 0);
  }

  /** Segments that have not landed. */
  get segments(): number {
    return this.#sealed.length + this.#closed.length + (this.#open === undefined ? 0 : 1);
  }

  /** Fulfils when the record is on disk. @throws DomainError `service.unavailable` when there is no room or no disk */
  append(record: SpoolRecord, rows: number): Promise<AppendedRecord> {
    const bytes = encodeRecord(record);
    return this.#inTurn(async () => {
      if (this.bytes + bytes.length > this.#options.maxBytes) {
        throw new DomainError('service.unavailable', 'The flow spool is full: ClickHouse has not taken flows for a while. Agents keep theirs and send them again.');
      }
      const segment = (this.#open ??= await this.#begin());
      const appended = await segment.append(bytes, rows);
      if (segment.rows >= this.#options.sealRows) await this.#closeOpen();
      return appended;
    });
  }

  /** Whether a segment could be had now. */
  get ready(): boolean {
    return this.#sealed.length > 0 || this.#closed.length > 0 || (this.#open !== undefined && this.#openIsDue());
  }

  /**
   * The oldest segment, sealed. Undefined when none is due.
   * @param flush takes the open segment even if it is small and young
   */
  async next(fates: FateFinder, flush = false): Promise<SealedSegment | undefined> {
    const [sealed] = this.#sealed;
    if (sealed !== undefined) return sealed;
    await this.#inTurn(async () => {
      if (this.#closed.length === 0 && this.#open !== undefined && (flush || this.#openIsDue())) await this.#closeOpen();
    });
    const [closed] = this.#closed;
    if (closed === undefined) return undefined;
    const next = await this.#seal(closed, fates);
    this.#closed.shift();
    this.#sealed.push(next);
    return next;
  }

  /** The records of a sealed segment. @throws Error when the file is damaged */
  async read(segment: SealedSegment): Promise<readonly SpoolRecord[]> {
    const { records, restBytes } = decodeRecords(await readFile(segment.path));
    if (restBytes > 0) throw new Error(`The flow segment ${segment.path} is damaged (${restBytes} bytes cannot be read). Move it away to let the ones behind it land.`);
    return records;
  }

  async landed(segment: SealedSegment): Promise<void> {
    await this.#folder.remove(segment);
    this.#sealed.splice(this.#sealed.indexOf(segment), 1);
  }

  /** What was not landed stays for the next start. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#open?.close();
      this.#open = undefined;
    });
    await this.#folder.close();
  }

  #openIsDue(): boolean {
    return this.#open !== undefined && performance.now() - this.#open.openedAt >= this.#options.sealAfterMs;
  }

  async #begin(): Promise<OpenSegment> {
    const number = ++this.#last;
    const file = await open(this.#folder.openPath(number), 'wx', 0o600);
    await this.#folder.sync();
    return new OpenSegment(number, file);
  }

  async #closeOpen(): Promise<void> {
    const segment = this.#open;
    if (segment === undefined) return;
    this.#open = undefined;
    this.#closed.push({ number: segment.number, bytes: segment.bytes, fates: segment.fates });
    await segment.close();
  }

  async #seal(closed: ClosedSegment, find: FateFinder): Promise<SealedSegment> {
    const sealedUs = Date.now() * 1000;
    const known = closed.fates === 'unknown' ? undefined : await Promise.all(closed.fates);
    if (known?.every((fate) => fate === true) === true) return this.#folder.seal(closed.number, sealedUs);
    const { records } = decodeRecords(await readFile(this.#folder.openPath(closed.number)));
    const doubtful = records.filter((_, index) => known?.[index] === undefined);
    const found = new Map((await find(doubtful)).map((fate, index) => [doubtful[index], fate]));
    const kept = records.filter((record, index) => known?.[index] ?? found.get(record) ?? false);
    return this.#folder.seal(closed.number, sealedUs, Buffer.concat(kept.map(encodeRecord)));
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
