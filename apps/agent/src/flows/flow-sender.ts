import { setTimeout as delay } from 'node:timers/promises';
import type { FlowAccount } from '@palisade/flow';
import { AGENT_ROUTES, decodeFlowBatch, decodeFlowBatchReceipt, type FlowBatchReceipt } from '@palisade/protocol';
import type { FlowSpool, SpooledBatch } from './flow-spool.ts';

/** The agent's connection to the gateway. */
export interface FlowChannel {
  /** Rejects when there is no connection. */
  post(path: string, body: Uint8Array): Promise<{ readonly status: number; readonly body: Uint8Array; readonly retryAfterMs?: number }>;
}

export interface FlowSenderParts {
  readonly spool: FlowSpool;
  readonly channel: FlowChannel;
  /** The gateway will never take a batch; this is what it accounted for. */
  readonly onRefused: (account: FlowAccount) => void;
  readonly log?: (message: string) => void;
  /** Milliseconds; tests shorten it. */
  readonly firstBackoffMs?: number;
}

const MAX_BACKOFF_MS = 30_000;
const MAX_CREDIT = 16;

type Fate = { readonly kind: 'done' | 'refused' } | { readonly kind: 'later'; readonly afterMs: number | undefined };

/** Sends spooled batches, oldest first, as many at once as the gateway gives credit for. A batch leaves the disk only by a receipt. */
export class FlowSender {
  readonly #parts: FlowSenderParts;
  readonly #underWay = new Set<string>();
  readonly #stop = new AbortController();
  readonly #aborted: Promise<void>;
  #credit = 1;
  #failures = 0;
  #notBefore = 0;
  #running: Promise<void> | undefined;

  constructor(parts: FlowSenderParts) {
    this.#parts = parts;
    this.#aborted = new Promise((done) => this.#stop.signal.addEventListener('abort', () => done(), { once: true }));
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Takes no more from the spool and waits for what is under way, at most a second. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.race([this.#running, delay(1_000, undefined, { ref: false })]);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#pause(this.#notBefore - Date.now());
      const next = this.#parts.spool.oldest(Math.max(1, this.#credit), new Set());
      if (next.length === 0) await Promise.race([this.#parts.spool.added(), this.#aborted]);
      else await Promise.all(next.map((batch) => this.#send(batch)));
    }
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await delay(ms, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined);
  }

  async #send(batch: SpooledBatch): Promise<void> {
    if (this.#underWay.has(batch.file)) return;
    const bytes = this.#parts.spool.read(batch);
    if (bytes === undefined) return;
    this.#underWay.add(batch.file);
    try {
      this.#settle(batch, bytes, await this.#attempt(bytes));
    } finally {
      this.#underWay.delete(batch.file);
    }
  }

  async #attempt(bytes: Uint8Array): Promise<Fate> {
    try {
      const response = await this.#parts.channel.post(AGENT_ROUTES.flows.path, bytes);
      if (response.status === 200) return this.#fateOf(decodeFlowBatchReceipt(response.body));
      // The batch itself is wrong; sending it again changes nothing. Other errors may pass.
      if (response.status === 400 || response.status === 413) return this.#refused(`status ${response.status}`);
      return { kind: 'later', afterMs: response.retryAfterMs };
    } catch {
      return { kind: 'later', afterMs: undefined };
    }
  }

  #fateOf(receipt: FlowBatchReceipt): Fate {
    this.#credit = Math.min(receipt.credit, MAX_CREDIT);
    switch (receipt.outcome) {
      case 'stored':
      case 'duplicate': return { kind: 'done' };
      case 'refused': return this.#refused(receipt.reason);
      case 'deferred': return { kind: 'later', afterMs: receipt.retryAfterMs };
      case 'unspecified': return { kind: 'later', afterMs: undefined };
    }
  }

  #refused(reason: string): Fate {
    this.#parts.log?.(`The gateway refused a flow batch: ${reason}`);
    return { kind: 'refused' };
  }

  #settle(batch: SpooledBatch, bytes: Uint8Array, fate: Fate): void {
    if (fate.kind === 'later') {
      this.#failures++;
      this.#credit = 1;
      const backoff = Math.min(MAX_BACKOFF_MS, (this.#parts.firstBackoffMs ?? 500) * 2 ** Math.min(this.#failures - 1, 10));
      // Full jitter: a thousand agents that lost the gateway at once must not come back at once.
      this.#notBefore = Date.now() + (fate.afterMs === undefined ? Math.random() * backoff : fate.afterMs * (1 + Math.random() * 0.2));
      return;
    }
    this.#failures = 0;
    if (fate.kind === 'refused') this.#parts.onRefused(accountOf(bytes));
    this.#parts.spool.remove(batch);
  }
}

/** What a batch said; nothing where it cannot be read (it never held flows that anybody could have stored). */
function accountOf(bytes: Uint8Array): FlowAccount {
  try {
    return decodeFlowBatch(bytes).account;
  } catch {
    return { seen: 0, exported: 0, sampled: 0, dropped: {} };
  }
}
