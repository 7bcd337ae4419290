import pg from 'pg';
import { WAKE_CHANNEL } from './wake-up.ts';

export interface Wake {
  readonly topic: string;
  readonly tenant: string | null;
  readonly cluster: string | null;
}

const RECONNECT_MS = 500;

/**
 * One connection that listens for wake-ups and comes back by itself. Wake-ups may be lost: after every (re)connection
 * the handler is called once with topic `missed`, and pollers look again.
 */
export class WakeListener {
  readonly #url: string;
  readonly #applicationName: string;
  readonly #onWake: (wake: Wake) => void;
  readonly #onError: (error: unknown) => void;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: { readonly url: string; readonly applicationName: string; readonly onWake: (wake: Wake) => void; readonly onError: (error: unknown) => void }) {
    this.#url = options.url;
    this.#applicationName = options.applicationName;
    this.#onWake = options.onWake;
    this.#onError = options.onError;
  }

  /** Resolves when the first connection listens, or has failed and is being tried again. */
  async start(): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url, application_name: this.#applicationName, connectionTimeoutMillis: 5_000, keepAlive: true });
    this.#client = client;
    let lost = false;
    const retry = (error: unknown): void => {
      if (lost || this.#closed) return;
      lost = true;
      this.#onError(error);
      void client.end().catch(() => undefined);
      this.#timer = setTimeout(() => void this.start(), RECONNECT_MS);
    };
    client.on('error', retry);
    client.on('end', () => retry(new Error('The connection that listens for wake-ups ended.')));
    client.on('notification', (message) => {
      const wake = parseWake(message.payload);
      if (wake !== null) this.#onWake(wake);
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${WAKE_CHANNEL}`);
      this.#onWake({ topic: 'missed', tenant: null, cluster: null });
    } catch (error) {
      retry(error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#client?.end().catch(() => undefined);
  }
}

/** Null where the payload is no wake-up. */
export function parseWake(payload: string | undefined): Wake | null {
  try {
    const value = JSON.parse(payload ?? '') as Record<string, unknown>;
    const text = (name: string): string | null => (typeof value[name] === 'string' ? value[name] : null);
    const topic = text('topic');
    return topic === null ? null : { topic, tenant: text('tenant'), cluster: text('cluster') };
  } catch {
    return null;
  }
}
