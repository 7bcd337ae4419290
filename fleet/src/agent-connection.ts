import { connect, type ClientHttp2Session } from 'node:http2';
import type { SecureContext } from 'node:tls';
import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { DescMessage } from '@bufbuild/protobuf';
import { decodeMessage, encodeMessage, PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import { ANONYMOUS, verifiedGateway } from './gateway-certificate.ts';

/** The gateway answered with a problem. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly retryAfterMs: number;

  constructor(status: number, code: string, detail: string, retryAfterMs: number) {
    super(`${status} ${code}: ${detail}`);
    this.name = 'Refused';
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** One HTTP/2 connection to a gateway, with or without a client certificate, verified against the pinned CA. */
export class AgentConnection {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
    session.on('error', () => session.destroy());
  }

  /**
   * @param gateway `https://host:port`
   * @param gatewayCa PEM
   * @param identity certificate and key of the node; absent: none is shown
   */
  static async open(gateway: string, gatewayCa: string, identity: SecureContext = ANONYMOUS, timeoutMs = 20_000): Promise<AgentConnection> {
    const expected = await verifiedGateway(gateway, gatewayCa, timeoutMs);
    return new Promise((resolve, reject) => {
      // The chain was verified when this certificate was seen first; from then on exactly this one is accepted.
      const session = connect(gateway, { secureContext: identity, rejectUnauthorized: false, settings: { enablePush: false } });
      const timer = setTimeout(() => fail(new Error('the gateway took no connection in time')), timeoutMs);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        session.destroy();
        reject(error);
      };
      session.once('error', fail);
      session.once('close', () => fail(new Error('the gateway closed the connection')));
      session.once('connect', (_session, socket) => {
        if (!expected.isOf(socket)) fail(new Error('the gateway shows another certificate than the one that was verified'));
      });
      session.once('remoteSettings', () => {
        clearTimeout(timer);
        session.removeAllListeners('error');
        session.removeAllListeners('close');
        resolve(new AgentConnection(session));
      });
    });
  }

  get open(): boolean {
    return !this.#session.closed && !this.#session.destroyed;
  }

  onClose(handler: () => void): void {
    this.#session.once('close', handler);
  }

  close(): void {
    this.#session.destroy();
  }

  async call<Q extends DescMessage, A extends DescMessage>(path: string, request: Q, init: MessageInitShape<Q>, answer: A, timeoutMs = 90_000): Promise<MessageShape<A>> {
    return decodeMessage(answer, await this.send('POST', path, encodeMessage(request, init), timeoutMs));
  }

  get(path: string): Promise<Uint8Array> {
    return this.send('GET', path, undefined, 30_000);
  }

  /** @throws Refused, or Error when the connection ended first */
  send(method: 'GET' | 'POST', path: string, body: Uint8Array | undefined, timeoutMs: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (!this.open) return reject(new Error('the connection has ended'));
      const stream = this.#session.request({ ':method': method, ':path': path, ...(body && { 'content-type': PROTOBUF_CONTENT_TYPE }) }, { endStream: body === undefined });
      const chunks: Buffer[] = [];
      let status = 0;
      let retryAfterMs = 0;
      stream.setTimeout(timeoutMs, () => stream.destroy(new Error(`no answer to ${path} in ${timeoutMs} ms`)));
      stream.on('response', (headers) => {
        status = Number(headers[':status']);
        retryAfterMs = Number(headers['retry-after'] ?? 0) * 1000;
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('error', reject);
      stream.once('close', () => {
        if (status === 0) return reject(new Error('the connection ended before the answer'));
        const answer = Buffer.concat(chunks);
        if (status < 300) return resolve(answer);
        const problem = readProblem(answer);
        reject(new Refused(status, problem.code, problem.detail, retryAfterMs));
      });
      if (body !== undefined) stream.end(body);
    });
  }
}

function readProblem(body: Buffer): { readonly code: string; readonly detail: string } {
  try {
    const problem = JSON.parse(body.toString('utf8')) as Record<string, unknown>;
    const text = (name: string): string => (typeof problem[name] === 'string' ? problem[name] : '');
    return { code: text('code'), detail: text('detail') };
  } catch {
    return { code: '', detail: body.toString('utf8').slice(0, 200) };
  }
}
