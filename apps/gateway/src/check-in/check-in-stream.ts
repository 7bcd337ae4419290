import { randomUUID } from 'node:crypto';
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { DomainError } from '@palisade/errors';
import type { Logger } from '@palisade/nest-kit';
import { CheckInRequestSchema, decodeMessage, maxMessageBytes, PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import { problemAnswer } from '../problem-answer.ts';
import { nodeOfSession } from '../tls/node-of-request.ts';
import type { CheckInDesk, CheckInReply } from './check-in-desk.ts';

const MAX_BYTES = maxMessageBytes(CheckInRequestSchema);
/** A body must be complete by then. */
const BODY_MS = 10_000;

interface Ports {
  readonly checkIns: CheckInDesk;
  readonly logger: Logger;
}

/** One check-in on a bare stream: who it is, the body within its bounds, then the desk. */
export function takeCheckIn(ports: Ports, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const reply = new StreamReply(stream, ports.logger);
  stream.on('error', ignore);
  try {
    if (stream.session === undefined) return;
    const node = nodeOfSession(stream.session, Date.now());
    if (headers['content-encoding'] !== undefined) throw new DomainError('request.invalid', 'Bodies are not compressed on this channel.');
    if (headers['content-type'] !== PROTOBUF_CONTENT_TYPE) throw new DomainError('request.invalid', `Send the message as ${PROTOBUF_CONTENT_TYPE}.`);
    readBody(stream, (body) => {
      const message = decodeMessage(CheckInRequestSchema, body);
      return ports.checkIns.take(node, message, reply);
    }, reply);
  } catch (error) {
    reply.fail(error);
  }
}

function readBody(stream: ServerHttp2Stream, take: (body: Uint8Array) => Promise<(() => void) | undefined>, reply: StreamReply): void {
  let chunks: Buffer[] = [];
  let bytes = 0;
  const late = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), BODY_MS);
  stream.once('close', () => clearTimeout(late));
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.byteLength;
    if (bytes <= MAX_BYTES) chunks.push(chunk);
    else {
      chunks = [];
      clearTimeout(late);
      stream.removeAllListeners('data');
      stream.resume();
      reply.fail(new DomainError('request.too-large', `A check-in has at most ${MAX_BYTES} bytes.`));
    }
  });
  stream.once('end', () => {
    clearTimeout(late);
    stream.removeAllListeners('data');
    const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    chunks = [];
    if (bytes > MAX_BYTES) return;
    answer(stream, body, take).catch((error: unknown) => reply.fail(error));
  });
}

async function answer(stream: ServerHttp2Stream, body: Uint8Array, take: (body: Uint8Array) => Promise<(() => void) | undefined>): Promise<void> {
  const giveUp = await take(body);
  if (giveUp === undefined) return;
  if (stream.destroyed) giveUp();
  else stream.once('close', giveUp);
}

class StreamReply implements CheckInReply {
  readonly #stream: ServerHttp2Stream;
  readonly #logger: Logger;

  constructor(stream: ServerHttp2Stream, logger: Logger) {
    this.#stream = stream;
    this.#logger = logger;
  }

  send(body: Uint8Array): void {
    this.#respond(200, { 'content-type': PROTOBUF_CONTENT_TYPE }, body);
  }

  fail(error: unknown): void {
    if (this.#stream.destroyed || this.#stream.headersSent) return;
    const { status, headers, body } = problemAnswer(error, randomUUID(), this.#logger);
    this.#respond(status, headers, Buffer.from(body));
  }

  #respond(status: number, headers: Readonly<Record<string, string>>, body: Uint8Array): void {
    if (this.#stream.destroyed || this.#stream.headersSent) return;
    this.#stream.respond({ ':status': status, ...headers, 'content-length': String(body.byteLength) });
    this.#stream.end(body);
  }
}

function ignore(): void {}
