import { Agent, get } from 'node:http';
import type { StreamCounts, StreamPlan } from './protocol.ts';

/** Requests under way at once; past it a tick is left out, so that a dead peer does not pile up sockets. */
const MAX_UNDER_WAY = 16;
const KEPT_FAILURES = 10;

/** Sends requests at a steady rate and counts what becomes of them. */
export class RequestStream {
  readonly #plan: StreamPlan;
  readonly #agent: Agent;
  #sent = 0;
  #ok = 0;
  #failed = 0;
  #slowestMs = 0;
  #failures: { at: number; error: string }[] = [];

  constructor(plan: StreamPlan) {
    this.#plan = plan;
    this.#agent = new Agent({ keepAlive: plan.connections === 'kept-alive', maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 2 });
  }

  start(): void {
    setInterval(() => this.#send(), 1000 / this.#plan.perSecond);
  }

  /** Counts since the start; the slowest answer since the last call. */
  counts(): StreamCounts {
    const slowestMs = Math.round(this.#slowestMs);
    this.#slowestMs = 0;
    return { id: this.#plan.id, sent: this.#sent, ok: this.#ok, failed: this.#failed, slowestMs, failures: this.#failures };
  }

  #send(): void {
    if (this.#sent - this.#ok - this.#failed >= MAX_UNDER_WAY) return;
    this.#sent += 1;
    const began = performance.now();
    let settled = false;
    const settle = (error?: Error): void => {
      if (settled) return;
      settled = true;
      clearTimeout(deadline);
      if (error === undefined) {
        this.#ok += 1;
        this.#slowestMs = Math.max(this.#slowestMs, performance.now() - began);
        return;
      }
      this.#failed += 1;
      this.#failures = [...this.#failures.slice(1 - KEPT_FAILURES), { at: Date.now(), error: error.message }];
    };
    const request = get({ host: this.#plan.host, port: this.#plan.port, path: '/', agent: this.#agent }, (response) => {
      response.resume();
      response.once('error', settle);
      response.once('end', () => settle(response.statusCode === 200 ? undefined : new Error(`status ${response.statusCode}`)));
    });
    const deadline = setTimeout(() => {
      settle(new Error(`no answer within ${this.#plan.timeoutMs} ms`));
      request.destroy();
    }, this.#plan.timeoutMs);
    request.once('error', settle);
  }
}
