import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { PROBLEM_CONTENT_TYPE } from '@palisade/protocol';
import { ANSWER_TOO_LARGE, GatewayRefused, GatewayUnreachable, type GatewayAnswer, type GatewayRequest, type GatewayRequests } from './gateway-requests.ts';

export interface SessionOptions {
  /** `https://host:port` */
  readonly gateway: string;
  /** PEM of the gateway CAs that the trusted root names; absent: the server is not verified, and nothing secret may be sent. */
  readonly gatewayCas?: readonly string[];
  readonly client?: { readonly certificateChainPem: string; readonly privateKeyPem: string };
  readonly connectTimeoutMs?: number;
  /** A connection on which no answer to a ping arrives for this long is given up. */
  readonly keepAliveMs?: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 15_000;
/** So that a ping has had its whole time before the next one. */
const PING_MARGIN_MS = 50;
const PATH_WORKS = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ERR_HTTP2_GOAWAY_SESSION', 'ERR_TLS_CERT_ALTNAME_INVALID']);

/** One HTTP/2 connection to the gateway (RFC 9113). Ends once and for all; a new one is made by connecting again. */
export class GatewaySession implements GatewayRequests {
  readonly #session: ClientHttp2Session;
  readonly #keepAlive: NodeJS.Timeout;
  readonly #closed: Promise<void>;
  #unanswered: NodeJS.Timeout | undefined;

  private constructor(session: ClientHttp2Session, keepAliveMs: number) {
    this.#session = session;
    this.#closed = new Promise((resolve) => session.once('close', () => resolve()));
    this.#keepAlive = setInterval(() => this.#ping(keepAliveMs), keepAliveMs + PING_MARGIN_MS);
    this.#keepAlive.unref();
    session.once('close', () => {
      clearInterval(this.#keepAlive);
      clearTimeout(this.#unanswered);
    });
    session.on('error', () => session.destroy());
    session.once('goaway', () => session.close());
  }

  /** @throws GatewayUnreachable */
  static connect(options: SessionOptions, signal?: AbortSignal): Promise<GatewaySession> {
    const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    return new Promise((resolve, reject) => {
      const session = connect(options.gateway, {
        ...(options.gatewayCas === undefined ? { rejectUnauthorized: false } : { ca: [...options.gatewayCas] }),
        ...(options.client && { cert: options.client.certificateChainPem, key: options.client.privateKeyPem }),
        minVersion: 'TLSv1.3',
        settings: { enablePush: false },
      });
      const settled = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stopped);
      };
      const fail = (error: GatewayUnreachable) => {
        settled();
        session.destroy();
        reject(error);
      };
      const stopped = () => fail(new GatewayUnreachable('the agent is stopping', { pathWorks: false }));
      const timer = setTimeout(() => fail(new GatewayUnreachable(`no connection to ${options.gateway} within ${timeoutMs} ms`, { pathWorks: false })), timeoutMs);
      signal?.addEventListener('abort', stopped, { once: true });
      session.once('error', (error) => fail(unreachable(error)));
      // The settings frame, not the TLS handshake, shows that the server took the connection: with TLS 1.3 a refusal of
      // the client's certificate arrives after the client believes it is connected.
      session.once('remoteSettings', () => {
        settled();
        session.removeAllListeners('error');
        resolve(new GatewaySession(session, options.keepAliveMs ?? KEEP_ALIVE_MS));
      });
      session.once('close', () => fail(new GatewayUnreachable('the gateway closed the connection', { pathWorks: true })));
    });
  }

  /** Resolves when the connection has ended, whoever ended it. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  get open(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  close(): void {
    this.#session.destroy();
  }

  request(request: GatewayRequest): Promise<GatewayAnswer> {
    return new Promise((resolve, reject) => {
      if (!this.open) {
        reject(new GatewayUnreachable('the connection has ended', { pathWorks: false }));
        return;
      }
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session.request({
          [constants.HTTP2_HEADER_METHOD]: request.method,
          [constants.HTTP2_HEADER_PATH]: request.path,
          ...(request.contentType !== undefined && { [constants.HTTP2_HEADER_CONTENT_TYPE]: request.contentType }),
        }, { endStream: request.body === undefined });
      } catch (error) {
        reject(unreachable(error));
        return;
      }
      new Exchange(stream, request, resolve, reject).start();
    });
  }

  #ping(keepAliveMs: number): void {
    if (!this.open) return;
    clearTimeout(this.#unanswered);
    this.#unanswered = setTimeout(() => this.#session.destroy(), keepAliveMs);
    this.#unanswered.unref();
    this.#session.ping(() => clearTimeout(this.#unanswered));
  }
}

/** One request and its answer: bounded in bytes and time, settled exactly once. */
class Exchange {
  readonly #stream: ClientHttp2Stream;
  readonly #request: GatewayRequest;
  readonly #resolve: (answer: GatewayAnswer) => void;
  readonly #reject: (error: Error) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #headers: IncomingHttpHeaders | undefined;
  #timer: NodeJS.Timeout | undefined;
  #settled = false;

  constructor(stream: ClientHttp2Stream, request: GatewayRequest, resolve: (answer: GatewayAnswer) => void, reject: (error: Error) => void) {
    this.#stream = stream;
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const { body, path, timeoutMs, signal } = this.#request;
    this.#timer = setTimeout(() => this.#fail(new GatewayUnreachable(`no complete answer to ${path} within ${timeoutMs} ms`, { pathWorks: this.#headers !== undefined })), timeoutMs);
    const abort = () => this.#fail(new GatewayUnreachable('the request was given up', { pathWorks: false }));
    if (signal?.aborted === true) return abort();
    signal?.addEventListener('abort', abort, { once: true });
    this.#stream.once('close', () => signal?.removeEventListener('abort', abort));
    this.#stream.once('response', (headers) => {
      this.#headers = headers;
    });
    this.#stream.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#stream.once('end', () => this.#finish());
    this.#stream.once('error', (error) => this.#fail(unreachable(error)));
    this.#stream.once('close', () => this.#fail(this.#ended()));
    if (body !== undefined) this.#stream.end(body);
  }

  #take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#request.maxBytes) {
      this.#fail(new GatewayRefused(502, ANSWER_TOO_LARGE, `the answer to ${this.#request.path} is longer than ${this.#request.maxBytes} bytes`, 0));
      return;
    }
    this.#chunks.push(chunk);
  }

  #finish(): void {
    if (this.#headers === undefined) return this.#fail(this.#ended());
    const status = Number(this.#headers[constants.HTTP2_HEADER_STATUS]);
    const body = Buffer.concat(this.#chunks);
    const announced = this.#headers[constants.HTTP2_HEADER_CONTENT_LENGTH];
    if (announced !== undefined && Number(announced) !== body.length) return this.#fail(new GatewayUnreachable('the answer was cut off', { pathWorks: true }));
    if (status >= 200 && status < 300) {
      this.#settle(() => this.#resolve({ status, body }));
      return;
    }
    const problem = readProblem(this.#headers, body);
    this.#fail(new GatewayRefused(status, problem.code, problem.detail, retryAfterMs(this.#headers)));
  }

  /** Who ended it is not known here: only what was received counts as hearing from the other side. */
  #ended(): GatewayUnreachable {
    return new GatewayUnreachable('the connection ended before the answer', { pathWorks: this.#headers !== undefined });
  }

  #fail(error: Error): void {
    this.#settle(() => {
      if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_CANCEL);
      this.#reject(error);
    });
  }

  #settle(act: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#timer);
    act();
  }
}

/** RFC 9457; anything else reads as no problem at all. */
function readProblem(headers: IncomingHttpHeaders, body: Buffer): { readonly code: string; readonly detail: string } {
  if (headers['content-type']?.startsWith(PROBLEM_CONTENT_TYPE) !== true) return { code: '', detail: '' };
  try {
    const problem = JSON.parse(body.toString('utf8')) as Readonly<Record<string, unknown>> | null;
    const text = (value: unknown) => (typeof value === 'string' ? value.slice(0, 1024) : '');
    return { code: text(problem?.['code']), detail: text(problem?.['detail']) };
  } catch {
    return { code: '', detail: '' };
  }
}

/** Retry-After in seconds or as a date (RFC 9110 §10.2.3). */
function retryAfterMs(headers: IncomingHttpHeaders): number {
  const value = headers['retry-after'];
  if (typeof value !== 'string') return 0;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : 0;
}

function unreachable(error: unknown): GatewayUnreachable {
  if (error instanceof GatewayUnreachable) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const untrusted = code.includes('CERT') || code.includes('VERIFY') || code === 'DEPTH_ZERO_SELF_SIGNED_CERT';
  return new GatewayUnreachable(message === '' ? code : message, { pathWorks: untrusted || PATH_WORKS.has(code) || code.startsWith('ERR_SSL'), untrusted, cause: error });
}
