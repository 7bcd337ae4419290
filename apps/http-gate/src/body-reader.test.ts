import { describe, expect, it } from 'vitest';
import { BodyReader } from './body-reader.ts';
import { Malformed } from './malformed.ts';

/** How many bytes of `text` belong to the body when it arrives in pieces of `size`. */
function consumed(reader: BodyReader, text: string, size: number): number {
  let waiting = Buffer.alloc(0);
  let total = 0;
  for (let at = 0; at < text.length; at += size) {
    waiting = Buffer.concat([waiting, Buffer.from(text.slice(at, at + size), 'latin1')]);
    const taken = reader.take(waiting);
    waiting = waiting.subarray(taken);
    total += taken;
  }
  return total;
}

describe('the end of a body', () => {
  it.each([1, 2, 3, 7, 100])('is found in pieces of %d bytes', (size) => {
    const chunked = new BodyReader({ kind: 'chunked' });
    const body = '5\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n';
    expect(consumed(chunked, `${body}GET / HTTP/1.1\r\n`, size)).toBe(body.length);
    expect(chunked.done).toBe(true);
    const counted = new BodyReader({ kind: 'length', length: 5 });
    expect(consumed(counted, 'helloGET /', size)).toBe(5);
    expect(counted.done).toBe(true);
  });

  it('is at once where there is none, and never where the connection ends it', () => {
    expect(new BodyReader({ kind: 'none' }).done).toBe(true);
    expect(new BodyReader({ kind: 'length', length: 0 }).done).toBe(true);
    const open = new BodyReader({ kind: 'until-close' });
    expect(open.take(Buffer.from('anything'))).toBe(8);
    expect([open.done, open.untilClose]).toEqual([false, true]);
  });

  it.each([
    ['a size that is no number', 'g\r\n'],
    ['an empty size', '\r\n'],
    ['a size with a sign', '+5\r\nhello\r\n'],
    ['a size with a prefix', '0x5\r\nhello\r\n'],
    ['a size with a space', '5 \r\nhello\r\n'],
    ['a size beyond 32 bits', '100000000\r\n'],
    ['an extension', '5;a=b\r\nhello\r\n'],
    ['a chunk that is longer than it says', '5\r\nhello!\r\n'],
    ['a chunk that ends in a line feed alone', '5\r\nhello\n0\r\n\r\n'],
    ['a size that ends in a line feed alone', '5\nhello\r\n'],
    ['a size that ends in a carriage return alone', '5\rhello\r\n'],
    ['a trailer that names a length', '0\r\nContent-Length: 5\r\n\r\n'],
    ['a trailer that names an encoding', '0\r\nTransfer-Encoding: chunked\r\n\r\n'],
    ['a trailer that is no field', '0\r\nhello\r\n\r\n'],
    ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
    ['a line without end', 'a'.repeat(9000)],
  ])('is not guessed after %s', (_, text) => {
    expect(() => consumed(new BodyReader({ kind: 'chunked' }), text, 4)).toThrow(Malformed);
  });
});
