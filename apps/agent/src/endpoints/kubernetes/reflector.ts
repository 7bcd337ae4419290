import type { Log } from '../../log.ts';
import { Backoff } from '../../transport/backoff.ts';
import { delay } from '../../transport/delay.ts';
import { KubernetesRefused, listPage, watch, type KubernetesAccess, type KubernetesObject } from './api-client.ts';

const PAGE = 500;
/** The server ends watches after this long; the next one goes on where this one stopped. */
const WATCH_SECONDS = 300;
const GONE = 410;

export interface ReflectorOptions<T> {
  readonly access: KubernetesAccess;
  /** `/api/v1/pods`, with a selector where one is needed: `/api/v1/pods?fieldSelector=…` */
  readonly path: string;
  /** What is kept of an object; undefined: nothing. */
  readonly keep: (object: KubernetesObject) => T | undefined;
  readonly changed: () => void;
  readonly log: Log;
  /** How long an open watch may be silent before its connection counts as dead; default 330 s: longer than a watch lasts. */
  readonly silenceMs?: number;
  /** Longest wait between attempts; default 30 s. */
  readonly maxWaitMs?: number;
}

/**
 * A copy of one kind of object, kept by list and watch (Kubernetes API concepts, “Efficient detection of changes”): a paged
 * list, then changes from its resource version, remembered through bookmarks; 410 Gone lists again. While the server is away
 * the copy stays as it was.
 */
export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  #objects = new Map<string, T>();
  #version = '';

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  /** False before the first whole list. */
  get synced(): boolean {
    return this.#version !== '';
  }

  get objects(): ReadonlyMap<string, T> {
    return this.#objects;
  }

  /** Runs until the signal. */
  async run(stop: AbortSignal): Promise<void> {
    const backoff = new Backoff();
    while (!stop.aborted) {
      try {
        if (this.#version === '') await this.#list(stop);
        await this.#watch(stop, () => backoff.reset());
      } catch (error) {
        if (stop.aborted) return;
        if (error instanceof KubernetesRefused && error.status === GONE) {
          this.#options.log.info('the API server no longer has the changes since the last list; listing again', { path: this.#options.path });
          this.#version = '';
        } else {
          this.#options.log.warn('no answer from the API server; what is known stays', { path: this.#options.path, reason: (error as Error).message });
        }
      }
      // A server that ends every watch at once must not be asked without a pause either.
      await delay(Math.min(backoff.next({ windowMs: 200 }), this.#options.maxWaitMs ?? 30_000), stop);
    }
  }

  #query(parameters: Readonly<Record<string, string>>): string {
    const url = new URL(this.#options.path, 'https://server');
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return `${url.pathname}${url.search}`;
  }

  async #list(stop: AbortSignal): Promise<void> {
    const fresh = new Map<string, T>();
    let next = '';
    let version = '';
    do {
      const page = await listPage(this.#options.access, this.#query({ limit: String(PAGE), ...(next !== '' && { continue: next }) }), stop);
      for (const object of page.items) this.#put(fresh, object);
      next = page.next;
      version = page.resourceVersion;
    } while (next !== '');
    if (version === '') throw new KubernetesRefused(0, `GET ${this.#options.path}: the list has no resource version.`);
    this.#objects = fresh;
    this.#version = version;
    this.#options.changed();
  }

  async #watch(stop: AbortSignal, alive: () => void): Promise<void> {
    const path = this.#query({ watch: 'true', allowWatchBookmarks: 'true', resourceVersion: this.#version, timeoutSeconds: String(WATCH_SECONDS) });
    for await (const { type, object } of watch(this.#options.access, path, stop, this.#options.silenceMs ?? (WATCH_SECONDS + 30) * 1000)) {
      if (type === 'ERROR') throw new KubernetesRefused(object.code ?? 0, object.message ?? 'the watch ended with an error');
      alive();
      if (type === 'DELETED') this.#objects.delete(keyOf(object));
      else if (type !== 'BOOKMARK') this.#put(this.#objects, object);
      this.#version = object.metadata.resourceVersion ?? this.#version;
      if (type !== 'BOOKMARK') this.#options.changed();
    }
  }

  #put(into: Map<string, T>, object: KubernetesObject): void {
    const kept = this.#options.keep(object);
    if (kept === undefined) into.delete(keyOf(object));
    else into.set(keyOf(object), kept);
  }
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
