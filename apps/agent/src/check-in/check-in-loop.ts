import { encodeMessage, AGENT_ROUTES, CheckInRequestSchema, CheckInResponseSchema, maxMessageBytes, PROTOBUF_CONTENT_TYPE, type CheckInResponse } from '@palisade/protocol';
import { decodeAnswer } from '../transport/decode-answer.ts';
import { GatewayRefused, GatewayUnreachable, type GatewayRequests } from '../transport/gateway-requests.ts';
import { Backoff } from '../transport/backoff.ts';
import { delay } from '../transport/delay.ts';
import type { Log } from '../log.ts';
import { News } from './news.ts';

/** One check-in's content; `accepted` is called when the answer has arrived. */
export interface CheckInDraft {
  readonly request: Parameters<typeof encodeMessage<typeof CheckInRequestSchema>>[1];
  accepted(): void;
}

export interface CheckInPorts {
  readonly gateway: GatewayRequests;
  readonly news: News;
  draft(ackToken: string, holdMs: number): Promise<CheckInDraft>;
  /** Carries out the answer. Throws what the gateway's requests throw: the next check-in brings it again. */
  handle(response: CheckInResponse): Promise<void>;
  /** Work that needs the connection before a check-in (certificate renewal). @returns true when the connection must be made anew */
  before(): Promise<boolean>;
  readonly holdMs: number;
  readonly log: Log;
}

const ANSWER_MARGIN_MS = 20_000;
/** Least time between two check-ins: whatever the gateway answers, the loop does not spin. */
const LEAST_INTERVAL_MS = 100;

/**
 * Check-ins over one connection: held by the gateway until there is something to say, given up and repeated by the agent
 * as soon as *it* has something to say. Answers that could not be carried out are not acknowledged, so they come again.
 */
export class CheckInLoop {
  readonly #ports: CheckInPorts;
  #ackToken = '';
  #reconnectWindowMs: number | undefined;

  constructor(ports: CheckInPorts) {
    this.#ports = ports;
  }

  /** The window the gateway named for reconnecting; undefined before it has named one. */
  get reconnectWindowMs(): number | undefined {
    return this.#reconnectWindowMs;
  }

  /** Runs until the connection ends or the agent stops. @throws GatewayUnreachable when the connection ended, GatewayRefused 401 */
  async run(stop: AbortSignal, onAnswer: () => void): Promise<void> {
    const backoff = new Backoff();
    while (!stop.aborted) {
      if (await this.#ports.before()) return;
      try {
        const response = await this.#once(stop);
        if (response === undefined) continue; // given up for news
        onAnswer();
        backoff.reset();
        await this.#ports.handle(response);
        this.#ackToken = response.ackToken;
        await delay(Math.max(LEAST_INTERVAL_MS, response.pollAfterMs), stop, ...(response.pollAfterMs > LEAST_INTERVAL_MS ? [this.#ports.news.signal] : []));
      } catch (error) {
        if (error instanceof GatewayUnreachable && stop.aborted) return;
        // 401: the gateway does not know us by this certificate; the connection has to be made anew.
        if (!(error instanceof GatewayRefused) || error.status === 401) throw error;
        const wait = backoff.next({ windowMs: 1_000, retryAfterMs: error.retryAfterMs });
        this.#ports.log.warn('the gateway refused; trying again', { status: error.status, code: error.code, reason: error.message, waitMs: Math.round(wait) });
        await delay(wait, stop);
      }
    }
  }

  async #once(stop: AbortSignal): Promise<CheckInResponse | undefined> {
    const { news, gateway } = this.#ports;
    const fresh = news.take();
    const holdMs = fresh ? 0 : this.#ports.holdMs;
    const draft = await this.#ports.draft(this.#ackToken, holdMs);
    const interrupted = news.signal;
    try {
      const { body } = await gateway.request({
        method: AGENT_ROUTES.checkIn.method,
        path: AGENT_ROUTES.checkIn.path,
        body: encodeMessage(CheckInRequestSchema, draft.request),
        contentType: PROTOBUF_CONTENT_TYPE,
        maxBytes: maxMessageBytes(CheckInResponseSchema),
        timeoutMs: holdMs + ANSWER_MARGIN_MS,
        signal: AbortSignal.any([interrupted, stop]),
      });
      const response = decodeAnswer(CheckInResponseSchema, body);
      draft.accepted();
      this.#reconnectWindowMs = response.reconnectWindowMs === 0 ? undefined : response.reconnectWindowMs;
      return response;
    } catch (error) {
      if (error instanceof GatewayUnreachable && interrupted.aborted && !stop.aborted) return undefined;
      if (fresh) news.put(); // not told yet
      throw error;
    }
  }
}
