import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StoredObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid?: string; readonly labels?: Readonly<Record<string, string>>; readonly resourceVersion?: string };
  readonly [field: string]: unknown;
}

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
}

interface Watcher {
  readonly path: string;
  readonly response: ServerResponse;
}

/**
 * A server that keeps the contract of the Kubernetes API for lists and watches, over TLS with bearer tokens: paging with
 * continue tokens, resource versions, bookmarks, 410 for what was compacted, watches that end. No cluster is behind it.
 */
export class TestApiServer {
  readonly #server: Server;
  readonly #objects = new Map<string, Map<string, StoredObject>>();
  readonly #changes = new Map<string, Change[]>();
  readonly #watchers = new Set<Watcher>();
  #version = 100;
  #oldest = 0;
  /** Objects in a page, whatever was asked for. */
  pageSize = 2;
  token = 'first';
  /** Every request line, in order, without query where there is none. */
  readonly requests: string[] = [];
  /** Runs before each answer; true: it has answered. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;

  private constructor(tls: { readonly key: string; readonly cert: string }) {
    this.#server = createServer(tls, (request, response) => this.#answer(request, response));
  }

  static async start(files: { readonly keyFile: string; readonly certFile: string }): Promise<TestApiServer> {
    const server = new TestApiServer({ key: readFileSync(files.keyFile, 'utf8'), cert: readFileSync(files.certFile, 'utf8') });
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get watching(): number {
    return this.#watchers.size;
  }

  put(path: string, object: StoredObject): void {
    const kind = this.#objects.get(path) ?? new Map<string, StoredObject>();
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    const type = kind.has(key) ? 'MODIFIED' : 'ADDED';
    this.#version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    kind.set(key, stored);
    this.#objects.set(path, kind);
    this.#tell(path, { version: this.#version, type, object: stored });
  }

  remove(path: string, namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const object = this.#objects.get(path)?.get(key);
    if (object === undefined) throw new Error(`there is no ${key} in ${path}`);
    this.#objects.get(path)?.delete(key);
    this.#version += 1;
    this.#tell(path, { version: this.#version, type: 'DELETED', object: { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } } });
  }

  #tell(path: string, change: Change): void {
    this.#changes.set(path, [...(this.#changes.get(path) ?? []), change]);
    for (const watcher of this.#watchers) if (watcher.path === path) send(watcher.response, change.type, change.object);
  }

  /** Forgets all changes so far: watches and pages from before are answered with 410. */
  compact(): void {
    this.#version += 1;
    this.#oldest = this.#version;
    this.#changes.clear();
  }

  /** Tells all watchers where they are, without a change. */
  bookmark(): void {
    this.#version += 1;
    for (const { response } of this.#watchers) send(response, 'BOOKMARK', { metadata: { name: '', resourceVersion: String(this.#version) } });
  }

  /** Ends all watches: politely, or by cutting their connections in the middle of an event. */
  endWatches(how: 'end' | 'cut'): void {
    for (const { response } of this.#watchers) {
      if (how === 'end') response.end();
      else {
        response.write('{"type":"ADDED","object":{"meta');
        response.destroy();
      }
    }
    this.#watchers.clear(); // nothing reaches them any more, though their sockets close a moment later
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'https://server');
    this.requests.push(`${url.pathname}${url.search}`);
    if (this.intercept?.(request, response) === true) return;
    if (request.headers.authorization !== `Bearer ${this.token}`) return status(response, 401, 'Unauthorized');
    if (url.searchParams.get('watch') === 'true') this.#watch(url, response);
    else this.#list(url, response);
  }

  #list(url: URL, response: ServerResponse): void {
    const [from = 0, version = this.#version] = (url.searchParams.get('continue') ?? '').split('@').filter(Boolean).map(Number);
    if (version < this.#oldest) return status(response, 410, 'The provided continue parameter is too old');
    const all = [...(this.#objects.get(url.pathname)?.values() ?? [])];
    const items = all.slice(from, from + this.pageSize);
    const more = from + items.length < all.length;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ kind: 'List', metadata: { resourceVersion: String(version), ...(more && { continue: `${from + items.length}@${version}` }) }, items }));
  }

  #watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    response.setHeader('content-type', 'application/json');
    response.flushHeaders();
    if (from < this.#oldest) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, message: 'too old resource version', metadata: {} } })}\n`);
      return;
    }
    for (const change of this.#changes.get(url.pathname) ?? []) if (change.version > from) send(response, change.type, change.object);
    const watcher = { path: url.pathname, response };
    this.#watchers.add(watcher);
    response.once('close', () => this.#watchers.delete(watcher));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function send(response: ServerResponse, type: string, object: unknown): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function status(response: ServerResponse, code: number, message: string): void {
  response.statusCode = code;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ kind: 'Status', code, message }));
}
