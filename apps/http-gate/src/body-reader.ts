import { Malformed } from './malformed.ts';
import type { Framing } from './message-head.ts';

const CHUNK_SIZE = /^[0-9A-Fa-f]{1,8}$/;
const TRAILER = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/;
/** Trailer fields that would change how the message is framed or routed (RFC 9110 §6.5.1). */
const FORBIDDEN_TRAILER = /^(?:content-length|transfer-encoding|host|connection|upgrade):/i;
const MAX_LINE = 8192;
const MAX_TRAILERS = 32;

/** Finds the end of one message's body in a stream of bytes; the bytes themselves pass unchanged. */
export class BodyReader {
  readonly #chunked: boolean;
  #state: 'data' | 'size' | 'after-data' | 'trailer' | 'until-close' | 'done';
  #left: number;
  #trailers = 0;

  constructor(framing: Framing) {
    this.#chunked = framing.kind === 'chunked';
    this.#left = framing.kind === 'length' ? framing.length : 0;
    if (this.#chunked) this.#state = 'size';
    else if (framing.kind === 'until-close') this.#state = 'until-close';
    else this.#state = this.#left > 0 ? 'data' : 'done';
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  /** The connection's end is the body's end. */
  get untilClose(): boolean {
    return this.#state === 'until-close';
  }

  /**
   * @returns how many of `bytes` belong to the body and may pass; fewer than all: it has ended, or a line is not complete
   * @throws Malformed
   */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'until-close') return bytes.length;
      if (this.#state === 'data') {
        const size = Math.min(this.#left, bytes.length - at);
        at += size;
        this.#left -= size;
        if (this.#left === 0) this.#state = this.#chunked ? 'after-data' : 'done';
        continue;
      }
      const end = lineEnd(bytes, at);
      if (end === undefined) break;
      this.#line(bytes.toString('latin1', at, end));
      at = end + 2;
    }
    return at;
  }

  #line(text: string): void {
    if (this.#state === 'after-data') {
      if (text !== '') throw new Malformed('a chunk is longer than it says');
      this.#state = 'size';
    } else if (this.#state === 'size') {
      if (!CHUNK_SIZE.test(text)) throw new Malformed('the size of a chunk is no plain hexadecimal number');
      this.#left = Number.parseInt(text, 16);
      this.#state = this.#left === 0 ? 'trailer' : 'data';
    } else if (text === '') {
      this.#state = 'done';
    } else {
      this.#trailers += 1;
      if (this.#trailers > MAX_TRAILERS || !TRAILER.test(text) || FORBIDDEN_TRAILER.test(text)) throw new Malformed('a trailer field is not acceptable');
    }
  }
}

/** Where the line that begins at `at` ends; undefined: not yet. */
function lineEnd(bytes: Buffer, at: number): number | undefined {
  for (let end = at; end < bytes.length; end += 1) {
    if (end - at > MAX_LINE) throw new Malformed('a line of the chunked body is too long');
    if (bytes[end] === 0x0a) throw new Malformed('a line of the chunked body ends in LF alone');
    if (bytes[end] !== 0x0d) continue;
    if (end + 1 >= bytes.length) return undefined;
    if (bytes[end + 1] !== 0x0a) throw new Malformed('a CR stands alone in the chunked body');
    return end;
  }
  return undefined;
}
