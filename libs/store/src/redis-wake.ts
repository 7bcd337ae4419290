import { Redis } from 'ioredis';
import { parseWake, type Wake } from './wake-listener.ts';
import { WAKE_CHANNEL } from './wake-up.ts';

const CONNECT_MS = 5_000;

function connect(url: string, onError: (error: unknown) => void, options: { readonly offlineQueue: boolean }): Redis {
  const client = new Redis(url, {
    connectTimeout: CONNECT_MS,
    maxRetriesPerRequest: null,
    autoResubscribe: false,
    enableOfflineQueue: options.offlineQueue,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2_000),
  });
  client.on('error', onError);
  return client;
}

/**
 * Wake-ups over Redis, for gateways in any number: none of them holds a listening connection to PostgreSQL. As with
 * `WakeListener` they may be lost, and after every (re)connection the handler is called once with topic `missed`.
 */
export class RedisWakeListener {
  readonly #client: Redis;
  readonly #first: Promise<void>;

  constructor(options: { readonly url: string; readonly onWake: (wake: Wake) => void; readonly onError: (error: unknown) => void }) {
    const client = connect(options.url, options.onError, { offlineQueue: true });
    this.#client = client;
    client.on('message', (_channel, payload) => {
      const wake = parseWake(payload);
      if (wake !== null) options.onWake(wake);
    });
    this.#first = new Promise((resolve) => {
      client.once('close', () => resolve());
      client.on('ready', () => {
        client.subscribe(WAKE_CHANNEL).then(() => {
          options.onWake({ topic: 'missed', tenant: null, cluster: null });
          resolve();
        }, options.onError);
      });
    });
  }

  /** Resolves when the first connection listens, or has failed and is being tried again. */
  start(): Promise<void> {
    return this.#first;
  }

  async close(): Promise<void> {
    this.#client.disconnect();
  }
}

/**
 * Passes wake-ups on to Redis. Whoever relays listens to PostgreSQL, where a wake-up is part of the transaction that it
 * speaks of; several who relay only wake twice.
 */
export class RedisWakeRelay {
  readonly #client: Redis;

  constructor(options: { readonly url: string; readonly onError: (error: unknown) => void }) {
    // What cannot be sent now is lost: listeners look again by themselves.
    this.#client = connect(options.url, options.onError, { offlineQueue: false });
  }

  relay(wake: Wake): void {
    if (this.#client.status !== 'ready') return;
    this.#client.publish(WAKE_CHANNEL, JSON.stringify(wake)).catch(() => undefined);
  }

  close(): void {
    this.#client.disconnect();
  }
}
