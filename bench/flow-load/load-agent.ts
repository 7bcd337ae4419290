import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AGENT_ROUTES, decodeFlowBatchReceipt, encodeFlowBatch } from '@palisade/protocol';
import { Refused, type AgentConnection } from '../../fleet/src/agent-connection.ts';
import type { SimulatedAgent } from '../../fleet/src/simulated-agent.ts';
import { Traffic } from '../flows/traffic.ts';

/** Where every flow of an agent went; `waiting` are those that have no receipt yet. */
export interface LoadAccount {
  made: number;
  /** Stored, or known already (a receipt that got lost). */
  accepted: number;
  refused: number;
  /** Given up because the backlog was full. */
  lost: number;
  /** Answers "not now"; the batch is sent again. */
  deferrals: number;
  /** Requests that ended without an answer. */
  failures: number;
  batches: number;
  wireBytes: number;
}

interface Batch {
  readonly rows: number;
  readonly bytes: Uint8Array;
}

/** Batches that wait at most, as the agent's spool is bounded; beyond, the oldest is given up and counted. */
const BACKLOG = 60;
const BATCH_ROWS = 5_000;
const MAX_CREDIT = 16;
const RETRY_MS = 500;

/** One agent's flow path: makes batches at its rate, keeps them until a receipt, sends as many at once as it has credit for. */
export class LoadAgent {
  readonly account: LoadAccount = { made: 0, accepted: 0, refused: 0, lost: 0, deferrals: 0, failures: 0, batches: 0, wireBytes: 0 };
  /** Milliseconds from the request to the receipt. */
  readonly latencies: number[] = [];
  readonly #agent: SimulatedAgent;
  readonly #traffic: Traffic;
  readonly #rate: number;
  readonly #bootId = randomUUID();
  readonly #backlog: Batch[] = [];
  #seq = 0;
  #owed = 0;
  #credit = 1;
  #underWay = 0;
  #notBefore = 0;
  #connection: Promise<AgentConnection> | undefined;

  /** @param rate flows a second */
  constructor(agent: SimulatedAgent, index: number, rate: number) {
    this.#agent = agent;
    this.#traffic = new Traffic(index + 1, index);
    this.#rate = rate;
  }

  /** Flows without a receipt. */
  get waiting(): number {
    return this.account.made - this.account.accepted - this.account.refused - this.account.lost;
  }

  /** Makes flows for `seconds` (a batch a second, as an agent does) and sends them meanwhile. */
  async run(seconds: number): Promise<void> {
    const untilMs = Date.now() + seconds * 1000;
    // Agents do not tick together.
    await delay(Math.random() * 1000);
    while (Date.now() < untilMs) {
      const startedMs = Date.now();
      this.#make(startedMs);
      this.#send();
      await delay(Math.max(0, startedMs + 1000 - Date.now()));
    }
  }

  /** Goes on sending until nothing waits, at most `seconds`. */
  async drain(seconds: number): Promise<void> {
    const untilMs = Date.now() + seconds * 1000;
    while (this.waiting > 0 && Date.now() < untilMs) {
      this.#send();
      await delay(50);
    }
    await this.#connection?.then((connection) => connection.close(), () => undefined);
  }

  #make(nowMs: number): void {
    this.#owed += this.#rate;
    while (this.#owed >= 1) {
      const rows = Math.min(BATCH_ROWS, Math.floor(this.#owed));
      this.#owed -= rows;
      const bytes = encodeFlowBatch(this.#traffic.batch(this.#bootId, ++this.#seq, rows, nowMs * 1000));
      this.account.made += rows;
      this.account.batches++;
      this.account.wireBytes += bytes.length;
      this.#backlog.push({ rows, bytes });
      if (this.#backlog.length > BACKLOG) this.account.lost += this.#backlog.shift()?.rows ?? 0;
    }
  }

  #send(): void {
    while (this.#underWay < Math.max(1, this.#credit) && Date.now() >= this.#notBefore) {
      const batch = this.#backlog.shift();
      if (batch === undefined) return;
      this.#underWay++;
      void this.#post(batch).then((again) => {
        this.#underWay--;
        if (again) this.#backlog.unshift(batch);
        else this.#send();
      });
    }
  }

  /** @returns whether the batch must be sent again */
  async #post(batch: Batch): Promise<boolean> {
    const startedAt = performance.now();
    try {
      const connection = await this.#connected();
      const receipt = decodeFlowBatchReceipt(await connection.send('POST', AGENT_ROUTES.flows.path, batch.bytes, 30_000));
      this.#credit = Math.min(MAX_CREDIT, receipt.credit);
      if (receipt.outcome === 'deferred' || receipt.outcome === 'unspecified') {
        this.account.deferrals++;
        this.#notBefore = Date.now() + receipt.retryAfterMs * (1 + Math.random() * 0.2);
        return true;
      }
      if (receipt.outcome === 'refused') this.account.refused += batch.rows;
      else this.account.accepted += batch.rows;
      this.latencies.push(performance.now() - startedAt);
      return false;
    } catch (error) {
      this.account.failures++;
      if (!(error instanceof Refused)) this.#connection = undefined;
      this.#credit = 1;
      this.#notBefore = Date.now() + RETRY_MS * (1 + Math.random());
      return true;
    }
  }

  #connected(): Promise<AgentConnection> {
    this.#connection ??= this.#agent.connect().then((connection) => {
      connection.onClose(() => (this.#connection = undefined));
      return connection;
    });
    return this.#connection;
  }
}
