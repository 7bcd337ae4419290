import type { Socket } from 'node:net';
import type { GateAccess, GateContext, TcpConnection } from '@palisade/dataplane';
import { BodyReader } from './body-reader.ts';
import { Inlet, write } from './inlet.ts';
import { Malformed } from './malformed.ts';
import { headEnd, readRequestHead, readResponseHead, writeRequestHead, type Framing, type RequestHead, type ResponseHead } from './message-head.ts';
import type { Judgement } from './policy-book.ts';

/** How long a connection may take, in milliseconds. */
export interface SessionLimits {
  /** A head must be complete this long after its first byte. */
  readonly headMs: number;
  /** Neither side says anything, or takes anything, for this long. */
  readonly idleMs: number;
  /** For what is still to be said when the connection is over. */
  readonly lingerMs: number;
}

const LIMITS: SessionLimits = { headMs: 30_000, idleMs: 300_000, lingerMs: 30_000 };

/** What a session asks of its surroundings. */
export interface SessionPorts {
  /** Grows with every change of policy: what was answered before counts no longer. */
  readonly policyNumber: number;
  /** Undefined: nobody can tell now. */
  ask(connection: TcpConnection): Promise<readonly GateContext[] | undefined>;
  judge(contexts: readonly GateContext[], head: RequestHead): Judgement;
  report(access: GateAccess): void;
}

function answer(status: number, reason: string, text: string, close: boolean): Buffer {
  const body = `${text}\n`;
  return Buffer.from(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: ${close ? 'close' : 'keep-alive'}\r\n\r\n${body}`,
  );
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request', 403: 'Forbidden', 405: 'Method Not Allowed', 414: 'URI Too Long', 417: 'Expectation Failed', 431: 'Request Header Fields Too Large',
  501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 505: 'HTTP Version Not Supported',
};

function afterClose(socket: Socket): Promise<void> {
  return socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', () => resolve()));
}

/** One client's connection and the one to its server: requests are read whole, judged, and sent on one after the other. */
export class Session {
  readonly #down: Socket;
  readonly #up: Socket;
  readonly #fromClient: Inlet;
  readonly #fromServer: Inlet;
  readonly #connection: TcpConnection;
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;
  #contexts: readonly GateContext[] = [];
  #askedAt = -1;
  /** Bytes of an answer have gone to the client: an error can no longer be said in HTTP. */
  #answering = false;
  #end: NodeJS.Timeout | undefined;

  constructor(down: Socket, up: Socket, connection: TcpConnection, ports: SessionPorts, limits = LIMITS) {
    this.#down = down;
    this.#up = up;
    this.#connection = connection;
    this.#ports = ports;
    this.#limits = limits;
    this.#fromClient = new Inlet(down);
    this.#fromServer = new Inlet(up);
    for (const [socket, other] of [[down, up], [up, down]] as const) {
      socket.setNoDelay(true);
      socket.setTimeout(limits.idleMs, () => this.#break());
      socket.on('error', (error: NodeJS.ErrnoException) => {
        // Said as it was: and a reset leaves no port behind that waits for a minute (TIME-WAIT).
        if (error.code === 'ECONNRESET') other.resetAndDestroy();
        this.#break();
      });
    }
  }

  /** Runs until both connections are closed, which is at most `lingerMs` after either side ends. Never rejects. */
  async run(): Promise<void> {
    const closed = Promise.all([this.#down, this.#up].map(afterClose));
    try {
      while (await this.#exchange());
      this.#down.end();
      this.#up.end();
      this.#linger();
      await Promise.race([this.#drainedAfterEnd(this.#fromClient), this.#drainedAfterEnd(this.#fromServer)]);
    } catch (error) {
      await this.#refuse(error);
    } finally {
      this.#break();
      await closed;
      clearTimeout(this.#end);
    }
  }

  #break(): void {
    this.#down.destroySoon();
    this.#up.destroySoon();
    this.#linger();
  }

  /** Who does not read what is left, or talks on, holds the connection no longer than this. */
  #linger(): void {
    this.#end ??= setTimeout(() => {
      this.#down.destroy();
      this.#up.destroy();
    }, this.#limits.lingerMs);
  }

  async #drainedAfterEnd(inlet: Inlet): Promise<void> {
    while (await inlet.fill()) inlet.take(inlet.bytes.length);
  }

  /** Says what is wrong where that is still possible; the connection ends either way. */
  async #refuse(error: unknown): Promise<void> {
    if (this.#answering || !(error instanceof Malformed)) return;
    await write(this.#down, answer(error.status, REASONS[error.status] ?? 'Refused', `Refused by the network's HTTP gate: ${error.message}.`, true)).catch(() => undefined);
  }

  /** @returns whether another request may follow */
  async #exchange(): Promise<boolean> {
    const raw = await this.#head(this.#fromClient, true);
    if (raw === undefined) return false;
    const startedNs = process.hrtime.bigint();
    const head = this.#readRequest(raw, startedNs);
    if (!(await this.#learn())) {
      await write(this.#down, answer(503, 'Service Unavailable', 'The network policy for this connection cannot be had now.', true));
      this.#report(head, startedNs, 503, { allowed: false, ruleId: 0 });
      return false;
    }
    const judgement = this.#ports.judge(this.#contexts, head);
    if (!judgement.allowed) return this.#deny(head, startedNs, judgement);
    await write(this.#up, writeRequestHead(head));
    const body = new BodyReader(head.framing);
    const sending = this.#relay(this.#fromClient, this.#up, body).catch(() => undefined);
    const response = await this.#answerTo(head, startedNs, judgement);
    if (response === undefined) return false;
    // An answer that comes before the request's body has ended leaves no way to tell what follows.
    if (!body.done) return false;
    await sending;
    return !head.close && !response.close;
  }

  #readRequest(raw: Buffer, startedNs: bigint): RequestHead {
    try {
      return readRequestHead(raw);
    } catch (error) {
      if (error instanceof Malformed) {
        const nothing = { method: '', version: '1.1', path: '', query: '', host: '', fields: [], framing: { kind: 'none' }, close: true } as const;
        this.#report(nothing, startedNs, error.status, { allowed: false, ruleId: 0 });
      }
      throw error;
    }
  }

  async #deny(head: RequestHead, startedNs: bigint, judgement: Judgement): Promise<boolean> {
    const close = head.close || head.framing.kind !== 'none';
    this.#report(head, startedNs, 403, judgement);
    await write(this.#down, answer(403, 'Forbidden', 'Access denied by network policy.', close));
    return !close;
  }

  /** The contexts under the policy in force. */
  async #learn(): Promise<boolean> {
    for (let attempt = 0; this.#askedAt !== this.#ports.policyNumber; attempt += 1) {
      const asked = this.#ports.policyNumber;
      const contexts = await this.#ports.ask(this.#connection);
      if (contexts === undefined || attempt === 5) return false;
      this.#contexts = contexts;
      this.#askedAt = asked;
    }
    return true;
  }

  /** Reads one head. Undefined: the side ended between messages. @throws Malformed */
  async #head(inlet: Inlet, idle: boolean): Promise<Buffer | undefined> {
    let timer: NodeJS.Timeout | undefined;
    try {
      for (;;) {
        const end = headEnd(inlet.bytes);
        if (end !== undefined) return inlet.take(end);
        if (inlet.bytes.length > 0) timer ??= setTimeout(() => this.#break(), this.#limits.headMs);
        const waits = idle && inlet.bytes.length === 0 ? [inlet.fill(), this.#serverSpeaks()] : [inlet.fill()];
        if (!(await Promise.race(waits))) {
          if (inlet.bytes.length > 0) throw new Error('the connection ended inside a head');
          return undefined;
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Between exchanges a server has nothing to say; if it ends, so does the connection. */
  async #serverSpeaks(): Promise<false> {
    if (this.#fromServer.bytes.length === 0) await this.#fromServer.fill();
    if (this.#fromServer.bytes.length > 0) throw new Error('the server answered without a request');
    return false;
  }

  async #relay(from: Inlet, to: Socket, body: BodyReader): Promise<void> {
    while (!body.done) {
      const size = body.take(from.bytes);
      if (size > 0) await write(to, from.take(size));
      else if (!(await from.fill())) {
        if (body.untilClose) return;
        throw new Error('the connection ended inside a body');
      }
    }
  }

  /** Passes the server's answer to the client. Undefined: the connection is over with it. */
  async #answerTo(head: RequestHead, startedNs: bigint, judgement: Judgement): Promise<ResponseHead | undefined> {
    this.#answering = false;
    for (;;) {
      const { raw, response } = await this.#response(head, startedNs, judgement);
      if (response === undefined) return undefined;
      this.#answering = true;
      await write(this.#down, raw);
      if (response.status === 101) {
        this.#report(head, startedNs, 101, judgement);
        await this.#tunnel();
        return undefined;
      }
      if (response.status < 200) continue;
      this.#report(head, startedNs, response.status, judgement);
      await this.#relayAnswer(response.framing);
      this.#answering = false;
      return response.framing.kind === 'until-close' ? undefined : response;
    }
  }

  async #response(head: RequestHead, startedNs: bigint, judgement: Judgement): Promise<{ raw: Buffer; response: ResponseHead | undefined }> {
    try {
      const raw = await this.#head(this.#fromServer, false);
      if (raw === undefined) {
        this.#report(head, startedNs, 0, judgement);
        return { raw: Buffer.alloc(0), response: undefined };
      }
      const response = readResponseHead(raw, head.method);
      if (response.status === 101 && head.upgrade === undefined) throw new Malformed('the server changes the protocol unasked');
      return { raw, response };
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#report(head, startedNs, 502, judgement);
      if (!this.#answering) await write(this.#down, answer(502, 'Bad Gateway', `The server's answer is malformed: ${error.message}.`, true));
      return { raw: Buffer.alloc(0), response: undefined };
    }
  }

  #relayAnswer(framing: Framing): Promise<void> {
    return this.#relay(this.#fromServer, this.#down, new BodyReader(framing));
  }

  /** After an allowed change of protocol the bytes pass unread. */
  async #tunnel(): Promise<void> {
    const pass = async (from: Inlet, to: Socket): Promise<void> => {
      do await write(to, from.take(from.bytes.length));
      while (await from.fill());
      to.end();
    };
    await Promise.all([pass(this.#fromClient, this.#up), pass(this.#fromServer, this.#down)]);
  }

  #report(head: RequestHead, startedNs: bigint, status: number, { allowed, ruleId }: Judgement): void {
    this.#ports.report({
      connection: this.#connection, contexts: this.#contexts, method: head.method, path: head.path, host: head.host, status, allowed, ruleId,
      startedNs: String(startedNs), endedNs: String(process.hrtime.bigint()),
    });
  }
}
