import { randomUUID } from 'node:crypto';
import type { KernelFlowBatch, KernelLossCounters } from '@palisade/dataplane';
import { addAccounts, EMPTY_ACCOUNT, FlowBatchBuilder, totalLost, type FlowAccount, type FlowColumns, type FlowLosses, type FlowRecord } from '@palisade/flow';
import { encodeFlowBatch, MAX_FLOW_BATCH_BYTES } from '@palisade/protocol';
import { AskedNames } from './asked-names.ts';
import { DrainJournal } from './drain-journal.ts';
import { enrichFlow, monotonicToWallUs } from './enrich-flow.ts';
import { FlowNames, type FlowKnowledge } from './flow-names.ts';
import { DEFAULT_FLOW_BUDGET, FlowSampler, type FlowBudget } from './flow-sampler.ts';
import { Sightings } from './sightings.ts';
import { FlowSpool, type FlowSpoolLimits } from './flow-spool.ts';

/** The part of the Enforcer that flows come from. */
export interface FlowEvents {
  drainBatches(limit: number): Promise<readonly KernelFlowBatch[]>;
  losses(): Promise<KernelLossCounters>;
}

export interface FlowExporterParts {
  readonly events: FlowEvents;
  /** What is known now. Called after every drain; return the same objects while nothing has changed. */
  readonly knowledge: () => FlowKnowledge;
  /** Folder of its own, kept over restarts. */
  readonly folder: string;
  readonly budget?: FlowBudget;
  readonly spool?: FlowSpoolLimits;
  readonly log?: (message: string) => void;
}

const DRAIN_LIMIT = 5_000;
/** Over this share of the spool, denied flows get batches of their own, so that they can be kept longer. */
const SPLIT_FILL = 0.5;

function spent(account: FlowAccount, reason: 'spool-full' | 'refused'): FlowAccount {
  const dropped: FlowLosses = { ...account.dropped, [reason]: (account.dropped[reason] ?? 0) + account.exported };
  return { seen: account.seen, exported: 0, sampled: account.sampled, dropped };
}

function windowOf(columns: FlowColumns): { windowStartUs: number; windowEndUs: number } {
  if (columns.rows === 0) return { windowStartUs: Date.now() * 1000, windowEndUs: Date.now() * 1000 };
  return {
    windowStartUs: columns.lastSeenUs.reduce((least, us) => Math.min(least, us)),
    windowEndUs: columns.lastSeenUs.reduce((most, us) => Math.max(most, us)),
  };
}

/**
 * Takes events from the kernel, names them, keeps them within the budget and makes them durable in batches. Every event is
 * in a batch or in an account: `seen = exported + sampled + dropped`, over all batches that arrive.
 */
export class FlowExporter {
  readonly spool: FlowSpool;
  readonly #parts: FlowExporterParts;
  readonly #journal: DrainJournal;
  readonly #sampler: FlowSampler;
  readonly #sightings = new Sightings();
  readonly #asked = new AskedNames();
  readonly #bootId = randomUUID();
  #seq = 1;
  #names: FlowNames;
  #drained = 0;
  #skipped = 0;
  #losses: { ringFull: number; evicted: number };
  /** What no batch has said yet. */
  #unsaid: FlowAccount = EMPTY_ACCOUNT;

  constructor(parts: FlowExporterParts) {
    this.#parts = parts;
    this.spool = new FlowSpool(parts.folder, (account) => this.#giveUp(account, 'spool-full'), parts.spool);
    this.#journal = new DrainJournal(parts.folder);
    this.#sampler = new FlowSampler(parts.budget ?? DEFAULT_FLOW_BUDGET);
    this.#names = new FlowNames(parts.knowledge());
    this.#losses = { ringFull: this.#journal.before?.ringFull ?? 0, evicted: this.#journal.before?.evicted ?? 0 };
    this.#accountForBefore();
  }

  /** Events that the process before drained and did not bring to disk. */
  #accountForBefore(): void {
    const { before } = this.#journal;
    if (before === undefined || this.spool.contains(before.bootId, before.seq)) return;
    this.#unsaid = before.unsaid;
    if (before.drained === 0) return;
    this.#unsaid = addAccounts(before.unsaid, { seen: before.drained, exported: 0, sampled: 0, dropped: { 'agent-restart': before.drained } });
    this.#parts.log?.(`${before.drained} flow events were lost when the agent ended; they are counted.`);
  }

  /** A batch that is gone for good: what it accounted for goes into the next one, its rows as lost. */
  #giveUp(account: FlowAccount, reason: 'spool-full' | 'refused'): void {
    this.#unsaid = addAccounts(this.#unsaid, spent(account, reason));
  }

  /** The gateway will never take it. */
  refused(account: FlowAccount): void {
    this.#giveUp(account, 'refused');
  }

  /** Takes what the kernel has. @returns true when there is more now */
  async drain(): Promise<boolean> {
    const batches = await this.#parts.events.drainBatches(DRAIN_LIMIT);
    const count = batches.reduce((sum, batch) => sum + batch.count, 0);
    if (count === 0) return false;
    this.#drained += count;
    this.#writeJournal();
    const names = this.#currentNames();
    const offsetUs = monotonicToWallUs();
    for (const batch of batches) {
      if (batch.tellsNames === true) this.#learn(batch);
      this.#take(batch, names, offsetUs);
    }
    this.#writeJournal();
    return count >= DRAIN_LIMIT;
  }

  #learn(batch: KernelFlowBatch): void {
    for (let row = 0; row < batch.count; row += 1) this.#asked.learn(batch.event(row));
  }

  /** Only rows that the sample keeps become objects. */
  #take(batch: KernelFlowBatch, names: FlowNames, offsetUs: number): void {
    for (let row = 0; row < batch.count; row += 1) {
      if (this.#sightings.isSecond(batch, row, names) || isToldElsewhere(batch, row)) {
        this.#skipped++;
        continue;
      }
      const reservoir = this.#sampler.reservoir(batch.isPlain(row));
      const place = reservoir.place();
      if (place >= 0) reservoir.put(place, enrichFlow(batch.event(row), names, offsetUs, this.#asked));
    }
  }

  #currentNames(): FlowNames {
    const knowledge = this.#parts.knowledge();
    const { knowledge: old } = this.#names;
    if (knowledge.facts !== old.facts || knowledge.resolved !== old.resolved || knowledge.endpoints !== old.endpoints || knowledge.generation !== old.generation) {
      this.#names = new FlowNames(knowledge, this.#names);
    }
    return this.#names;
  }

  #writeJournal(): void {
    this.#journal.write({ bootId: this.#bootId, seq: this.#seq, drained: this.#drained - this.#skipped, ...this.#losses, unsaid: this.#unsaid });
  }

  /** Ends the window: everything drained so far is on disk when it fulfils. @returns how many batches were made */
  async flush(): Promise<number> {
    const losses = await this.#newLosses();
    const { allowed, others, sampled } = this.#sampler.take();
    const seen = this.#drained - this.#skipped;
    this.#drained = 0;
    this.#skipped = 0;
    const account = addAccounts(this.#unsaid, {
      seen: seen + totalLost(losses), exported: 0, sampled, dropped: losses,
    });
    this.#unsaid = EMPTY_ACCOUNT;
    const groups = this.spool.fill > SPLIT_FILL ? [others, allowed] : [[...others, ...allowed]];
    return this.#writeBatches(groups, account);
  }

  async #newLosses(): Promise<FlowLosses> {
    const losses = await this.#parts.events.losses().catch(() => undefined);
    // Not readable now: the difference is in the next reading.
    if (losses === undefined) return {};
    const now = { ringFull: Number(losses.ringFull), evicted: Number(losses.evicted) };
    const before = this.#losses;
    this.#losses = now;
    // Smaller than before: the kernel's counters began anew.
    const since = (current: number, last: number): number => (current >= last ? current - last : current);
    const ringFull = since(now.ringFull, before.ringFull);
    const evicted = since(now.evicted, before.evicted);
    return { ...(ringFull === 0 ? {} : { 'ring-full': ringFull }), ...(evicted === 0 ? {} : { evicted }) };
  }

  /** The first batch carries what else there is to say; a window without flows says it alone. */
  #writeBatches(groups: readonly (readonly FlowRecord[])[], account: FlowAccount): number {
    const chunks = groups.flatMap((flows) => chunked(flows));
    if (chunks.length === 0 && account.seen === 0 && account.sampled === 0) {
      this.#writeJournal();
      return 0;
    }
    const rest = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const first = { ...account, seen: account.seen - rest };
    for (const [index, chunk] of (chunks.length === 0 ? [[]] : chunks).entries()) {
      this.#writeBatch(chunk, index === 0 ? first : EMPTY_ACCOUNT);
    }
    this.#writeJournal();
    return Math.max(1, chunks.length);
  }

  /** @param extra what it says besides its own rows */
  #writeBatch(flows: readonly FlowRecord[], extra: FlowAccount): void {
    const builder = new FlowBatchBuilder(Math.max(1, flows.length));
    for (const flow of flows) builder.add(flow);
    const columns = builder.finish();
    const account = addAccounts(extra, { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} });
    const bytes = encodeFlowBatch({ bootId: this.#bootId, seq: this.#seq, ...windowOf(columns), account, columns });
    if (bytes.length > MAX_FLOW_BATCH_BYTES && flows.length > 1) {
      const middle = flows.length >> 1;
      this.#writeBatch(flows.slice(0, middle), extra);
      this.#writeBatch(flows.slice(middle), EMPTY_ACCOUNT);
      return;
    }
    this.#toSpool(bytes, account, flows.some((flow) => flow.verdict !== 'forwarded'));
  }

  #toSpool(bytes: Uint8Array, account: FlowAccount, important: boolean): void {
    try {
      this.spool.add(bytes, this.#seq++, important);
    } catch (error) {
      // A full or broken disk must not stop the agent: the rows are lost and counted.
      this.#giveUp(account, 'spool-full');
      this.#parts.log?.(`A flow batch could not be written: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.#journal.close();
  }
}

/** A question that policy dropped: the denial of its datagram is a row of its own, which gets the name. */
function isToldElsewhere(batch: KernelFlowBatch, row: number): boolean {
  return batch.tellsNames === true && batch.event(row).dns?.kind === 'refused';
}

function chunked(flows: readonly FlowRecord[]): FlowRecord[][] {
  const chunks: FlowRecord[][] = [];
  for (let at = 0; at < flows.length; at += DRAIN_LIMIT) chunks.push(flows.slice(at, at + DRAIN_LIMIT));
  return chunks;
}
