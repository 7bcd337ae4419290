import { compileSoftHttp, judgeHead } from '@palisade/policy';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Malformed } from './malformed.ts';
import { headEnd, readRequestHead, type RequestHead } from './message-head.ts';

const compiled = compileSoftHttp([{}]);
if ('tooLarge' in compiled) throw new Error(compiled.tooLarge);
const { tables } = compiled;

/** The head as the gate reads it, if it is one whole head. */
function gateReads(text: string): RequestHead | undefined {
  const bytes = Buffer.from(text, 'latin1');
  try {
    return headEnd(bytes) === bytes.length ? readRequestHead(bytes) : undefined;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

/** What soft rules take of the heads that the gate takes: those that it would send on as they came, and that it alone can follow up on. */
function softTakes(text: string): boolean {
  const head = gateReads(text);
  if (head === undefined || head.framing.kind === 'chunked' || head.upgrade !== undefined || head.path === '*' || head.host === '') return false;
  const asSent = text.split(' ')[1] === `${head.path}${head.query}`;
  const expects = head.fields.some(({ key }) => key === 'expect' || key === 'upgrade');
  return asSent && !expects && (head.framing.kind !== 'length' || head.framing.length <= 2 ** 30);
}

describe('heads under soft rules', () => {
  test('are among those that the gate takes, and mean what they mean there', () => {
    const segment = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'bc', 'x.y') }, fc.constantFrom('', '.', '..', '...', 'a', '%2F', '%2f', '%2e', '%25', '%7F', '%41', '%C3%A9', '%c3', '%4', '\\', '#', 'é', '~', '{}', '|'), fc.string({ maxLength: 3 }));
    const target = fc.tuple(fc.array(segment, { maxLength: 4 }), fc.constantFrom('', '?', '?a=b', '?/../#', '?é')).map(([segments, query]) => `/${segments.join('/')}${query}`);
    const field = fc.constantFrom(
      'Host: a', 'host:b:80', 'Host: [::1]:8', 'Host:', 'Host: a/b', 'Content-Length: 3', 'content-length:\t03 ', 'Content-Length: -1', 'Content-Length: 9999999999', 'Transfer-Encoding: chunked',
      'Upgrade: websocket', 'Upgrade: h2c', 'Expect: 100-continue', 'X: y', 'X : y', ' X: y', 'X: \u0001', 'X: \u00e9', ': y', 'Connection: close', 'X',
    );
    const line = fc.tuple(fc.oneof({ weight: 6, arbitrary: fc.constantFrom('GET', 'OPTIONS', 'BREW') }, fc.constantFrom('CONNECT', 'G(T', '')), fc.oneof({ weight: 8, arbitrary: target }, fc.constantFrom('*', 'http://a/', '')), fc.oneof({ weight: 6, arbitrary: fc.constantFrom('HTTP/1.1', 'HTTP/1.0') }, fc.constantFrom('HTTP/1.2', 'HTTP/2.0', 'http/1.1')));
    const end = fc.oneof({ weight: 50, arbitrary: fc.constant('\r\n') }, fc.constantFrom('\n', '\r'));
    const head = fc.tuple(line, end, fc.array(fc.tuple(field, end), { maxLength: 4 }), fc.boolean()).map(([words, first, fields, withHost]) => {
      const lines = [`${words.join(' ')}${first}`, ...(withHost ? ['Host: a\r\n'] : []), ...fields.map((one) => one.join(''))];
      return `${lines.join('')}\r\n`;
    });
    let taken = 0;
    fc.assert(
      fc.property(head, (text) => {
        const verdict = judgeHead(tables, text);
        expect([text, verdict.kind === 'allowed']).toEqual([text, softTakes(text)]);
        if (verdict.kind !== 'allowed') return;
        taken += 1;
        const framing = gateReads(text)?.framing;
        expect(verdict.bodyLength).toBe(framing?.kind === 'length' ? framing.length : 0);
      }),
      { numRuns: 20_000 },
    );
    expect(taken).toBeGreaterThan(500);
  });
});
