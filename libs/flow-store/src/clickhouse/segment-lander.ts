import { setTimeout as delay } from 'node:timers/promises';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import type { FateFinder, SegmentSpool } from './spool/segment-spool.ts';
import type { SealedSegment } from './spool/spool-folder.ts';
import type { SpoolRecord } from './spool/spool-record.ts';

/** Tenant of the row that says that a segment has landed; no tenant's id. */
export const NO_TENANT = '00000000-0000-0000-0000-000000000000';
const NO_UUID = NO_TENANT;

const POLL_MS = 50;
const RETRY_MS = [200, 500, 1_000, 2_000, 5_000];
/** Dictionary entries that are known to be in ClickHouse; forgetting one costs an insert, never correctness. */
const KNOWN_ENTRIES = 500_000;

export interface LandingFigures {
  readonly landedSegments: number;
  readonly landedRows: number;
  readonly failures: number;
  /** Empty when the last attempt went well. */
  readonly lastFailure: string;
}

/**
 * Brings sealed segments from the spool into ClickHouse, one after the other: dictionary entries first, then the rows, then
 * the batches. Every insert has a token made from writer and segment, so that a repeated one adds nothing. A segment leaves
 * the disk when all of it is acknowledged.
 */
export class SegmentLander {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #spool: SegmentSpool;
  readonly #fates: FateFinder;
  readonly #known = new Set<string>();
  readonly #stopped = new AbortController();
  readonly #figures = { landedSegments: 0, landedRows: 0, failures: 0, lastFailure: '' };
  readonly #onFailure: (error: unknown) => void;
  #running: Promise<void> | undefined;
  #flushing = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: { readonly session: ClickHouseSession; readonly layout: ClickHouseLayout; readonly spool: SegmentSpool; readonly fates: FateFinder; readonly onFailure?: (error: unknown) => void }) {
    this.#session = ports.session;
    this.#words = new SchemaWords(ports.layout);
    this.#spool = ports.spool;
    this.#fates = ports.fates;
    this.#onFailure = ports.onFailure ?? (() => undefined);
  }

  figures(): LandingFigures {
    return { ...this.#figures };
  }

  /** Entries that ClickHouse has, by `entryKey`. */
  has(key: string): boolean {
    return this.#known.has(key);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops after the insert under way; what has not landed stays on disk. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Lands everything that is in the spool now. @throws what ClickHouse or the ledger throws */
  async flush(): Promise<void> {
    this.#flushing = true;
    try {
      while (this.#spool.segments > 0) await this.#landNext();
    } finally {
      this.#flushing = false;
    }
  }

  async #run(): Promise<void> {
    let failures = 0;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      let pause = POLL_MS;
      try {
        if (this.#spool.ready && (await this.#landNext())) pause = 0;
        failures = 0;
      } catch (error) {
        this.#figures.failures++;
        this.#figures.lastFailure = error instanceof Error ? error.message : String(error);
        this.#onFailure(error);
        pause = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)] ?? POLL_MS;
      }
      if (pause > 0) await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  /** @returns whether there was one */
  #landNext(): Promise<boolean> {
    const landing = this.#turn.then(async () => {
      const segment = await this.#spool.next(this.#fates, this.#flushing);
      if (segment === undefined) return false;
      await this.#land(segment, await this.#spool.read(segment));
      await this.#spool.landed(segment);
      this.#figures.lastFailure = '';
      return true;
    });
    this.#turn = landing.catch(() => undefined);
    return landing;
  }

  async #land(segment: SealedSegment, records: readonly SpoolRecord[]): Promise<void> {
    const token = `${this.#spool.writer}-${segment.number}`;
    const keys = await this.#landEntries(token, segment.number, records);
    const rows = records.reduce((sum, { head }) => sum + head.batches.reduce((of, batch) => of + batch.rows, 0), 0);
    const block = Buffer.concat(records.map((record) => record.block));
    if (block.length > 0) await this.#session.insert({ table: this.#words.local('flow_ingest'), format: 'Native', body: block, token, shard: segment.number });
    await this.#landBatches(token, segment, records);
    if (this.#known.size + keys.length > KNOWN_ENTRIES) this.#known.clear();
    for (const key of keys) this.#known.add(key);
    this.#figures.landedSegments++;
    this.#figures.landedRows += rows;
  }

  async #landEntries(token: string, shard: number, records: readonly SpoolRecord[]): Promise<string[]> {
    const tables = new Map<string, Map<string, string>>();
    for (const { head } of records) {
      for (const [table, rows] of Object.entries(head.entries)) {
        const own = tables.get(table) ?? new Map<string, string>();
        tables.set(table, own);
        for (const row of rows) {
          const key = entryKey(table, String(row['tenant_id']), String(row['id']));
          if (!this.#known.has(key)) own.set(key, JSON.stringify(row));
        }
      }
    }
    const inserts = [...tables].filter(([, rows]) => rows.size > 0).map(([table, rows]) =>
      this.#session.insert({ table: this.#words.local(table), format: 'JSONEachRow', body: Buffer.from([...rows.values()].join('\n')), token: `${token}-${table}`, shard }),
    );
    await Promise.all(inserts);
    return [...tables.values()].flatMap((rows) => [...rows.keys()]);
  }

  async #landBatches(token: string, { number, sealedUs }: SealedSegment, records: readonly SpoolRecord[]): Promise<void> {
    const place = { writer: this.#spool.writer, segment: number, sealed_us: sealedUs };
    const batches = records.flatMap(({ head }) => head.batches).map(({ boot_id: _boot, seq: _seq, ...batch }) => ({ ...place, ...batch }));
    const mark = {
      ...place, tenant_id: NO_TENANT, batch_id: 0, cluster_id: NO_UUID, node_id: NO_UUID, node: '', rows: 0, window_start_us: 0, window_end_us: 0,
      received_us: sealedUs, seen: 0, sampled: 0, loss_reasons: [], loss_counts: [], incomplete: 0,
    };
    const body = Buffer.from([...batches, mark].map((row) => JSON.stringify(row)).join('\n'));
    await this.#session.insert({ table: this.#words.local('flow_batch'), format: 'JSONEachRow', body, token: `${token}-batches`, shard: number });
  }
}

export function entryKey(table: string, tenantId: string, id: string): string {
  return `${table} ${tenantId} ${id}`;
}
