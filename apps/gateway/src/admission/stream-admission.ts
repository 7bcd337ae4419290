import { randomUUID } from 'node:crypto';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { DomainError } from '@palisade/errors';
import type { Logger } from '@palisade/nest-kit';
import { problemAnswer } from '../problem-answer.ts';

/**
 * Bounds how many requests of one kind are under way. More are refused on their headers, with 503 and a time to come
 * back, before a byte of the body is read: what is refused must cost next to nothing.
 */
export class StreamAdmission {
  readonly #limit: number;
  readonly #logger: Logger;
  #active = 0;
  #refused = 0;

  constructor(limit: number, logger: Logger) {
    this.#limit = limit;
    this.#logger = logger;
  }

  figures(): { readonly active: number; readonly refused: number } {
    return { active: this.#active, refused: this.#refused };
  }

  /** False when the stream was refused. */
  admit(stream: ServerHttp2Stream): boolean {
    if (this.#active >= this.#limit) {
      this.#refused += 1;
      refuse(stream, 1 + Math.floor(Math.random() * 5), this.#logger);
      return false;
    }
    this.#active += 1;
    stream.once('close', () => (this.#active -= 1));
    return true;
  }
}

function refuse(stream: ServerHttp2Stream, retryAfterSeconds: number, logger: Logger): void {
  stream.on('error', () => undefined);
  if (stream.destroyed) return;
  const busy = new DomainError('service.unavailable', 'The gateway has all the requests of this kind that it takes at once. Come back as Retry-After says.', { params: { retryAfterSeconds } });
  const { status, headers, body } = problemAnswer(busy, randomUUID(), logger);
  stream.respond({ ':status': status, ...headers, 'content-length': String(Buffer.byteLength(body)) });
  // The answer is whole; the rest of the body is not wanted (RFC 9113 §8.1: RST_STREAM with NO_ERROR).
  stream.end(body, () => stream.close(constants.NGHTTP2_NO_ERROR));
}
