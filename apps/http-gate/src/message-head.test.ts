import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Malformed } from './malformed.ts';
import { headEnd, readRequestHead, readResponseHead, writeRequestHead, type RequestHead } from './message-head.ts';

function read(text: string): RequestHead {
  const bytes = Buffer.from(text, 'latin1');
  const end = headEnd(bytes);
  if (end === undefined) throw new Error('incomplete');
  return readRequestHead(bytes.subarray(0, end));
}
const get = (line: string, ...fields: string[]): string => `${[line, 'Host: a.example', ...fields].join('\r\n')}\r\n\r\n`;
const post = (...fields: string[]): string => get('POST /submit HTTP/1.1', ...fields);

describe('requests that are refused', () => {
  it.each([
    ['an empty line first', `\r\n${get('GET / HTTP/1.1')}`, 400],
    ['a line feed alone', 'GET / HTTP/1.1\nHost: a\n\n', 400],
    ['a line feed alone after a field', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 400],
    ['a carriage return inside the request line', 'GET /\r HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['a carriage return inside a field', get('GET / HTTP/1.1', 'X: a\rb'), 400],
    ['NUL in a field', get('GET / HTTP/1.1', 'X: a\0b'), 400],
    ['DEL in a field', get('GET / HTTP/1.1', 'X: a\x7fb'), 400],
    ['an escape character in the target', get('GET /\x1b HTTP/1.1'), 400],
    ['two spaces before the target', get('GET  / HTTP/1.1'), 400],
    ['two spaces before the version', get('GET /  HTTP/1.1'), 400],
    ['a tab as separator', get('GET\t/\tHTTP/1.1'), 400],
    ['a space at the end of the line', get('GET / HTTP/1.1 '), 400],
    ['a space before the method', get(' GET / HTTP/1.1'), 400],
    ['no version', get('GET /'), 400],
    ['no target', get('GET HTTP/1.1'), 400],
    ['a method that is no token', get('GE(T / HTTP/1.1'), 400],
    ['a method of other letters', get('G\xc9T / HTTP/1.1'), 400],
    ['HTTP/2', get('GET / HTTP/2.0'), 505],
    ['HTTP/1.2', get('GET / HTTP/1.2'), 505],
    ['HTTP/0.9', get('GET / HTTP/0.9'), 505],
    ['a version in lower case', get('GET / http/1.1'), 505],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\n', 505],
    ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['a target in absolute form', get('GET http://b/ HTTP/1.1'), 400],
    ['a target without a slash', get('GET private HTTP/1.1'), 400],
    ['an asterisk with another method', get('GET * HTTP/1.1'), 400],
    ['a fragment', get('GET /a#b HTTP/1.1'), 400],
    ['a backslash', get('GET /a\\b HTTP/1.1'), 400],
    ['bytes beyond ASCII in the path', get('GET /caf\xe9 HTTP/1.1'), 400],
    ['bytes beyond ASCII in the query', get('GET /a?caf\xe9 HTTP/1.1'), 400],
    ['an encoded slash', get('GET /a%2Fb HTTP/1.1'), 400],
    ['an encoded slash in lower case', get('GET /a%2fb HTTP/1.1'), 400],
    ['an encoded backslash', get('GET /a%5cb HTTP/1.1'), 400],
    ['an encoded NUL', get('GET /a%00 HTTP/1.1'), 400],
    ['an encoded line feed', get('GET /a%0a HTTP/1.1'), 400],
    ['a percent sign without digits', get('GET /a%zz HTTP/1.1'), 400],
    ['a percent sign at the end', get('GET /a%2 HTTP/1.1'), 400],
    ['a target that is too long', get(`GET /${'a'.repeat(9000)} HTTP/1.1`), 414],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400],
    ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
    ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['a Host with credentials', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
    ['a Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['two lengths that differ', post('Content-Length: 5', 'Content-Length: 6'), 400],
    ['two lengths that are equal', post('Content-Length: 5', 'Content-Length: 5'), 400],
    ['a list of lengths', post('Content-Length: 5, 5'), 400],
    ['a signed length', post('Content-Length: +5'), 400],
    ['a negative length', post('Content-Length: -5'), 400],
    ['a hexadecimal length', post('Content-Length: 0x5'), 400],
    ['an empty length', post('Content-Length:'), 400],
    ['a length beyond counting', post('Content-Length: 99999999999999999999'), 400],
    ['a length and a transfer encoding', post('Content-Length: 5', 'Transfer-Encoding: chunked'), 400],
    ['a transfer encoding and a length', post('Transfer-Encoding: chunked', 'Content-Length: 5'), 400],
    ['two transfer encodings', post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'), 400],
    ['a list of transfer encodings', post('Transfer-Encoding: gzip, chunked'), 501],
    ['identity', post('Transfer-Encoding: identity'), 501],
    ['chunked with a parameter', post('Transfer-Encoding: chunked;q=1'), 501],
    ['chunked with a vertical tab', post('Transfer-Encoding: \x0bchunked'), 400],
    ['chunked in quotes', post('Transfer-Encoding: "chunked"'), 501],
    ['chunked in HTTP/1.0', get('POST / HTTP/1.0', 'Transfer-Encoding: chunked'), 400],
    ['a space before the colon', post('Content-Length : 5'), 400],
    ['a tab before the colon', post('Transfer-Encoding\t: chunked'), 400],
    ['a field without a name', post(': 5'), 400],
    ['a field without a colon', post('Content-Length'), 400],
    ['a folded field', post('X: a', ' b'), 400],
    ['a folded field with a tab', post('X: a', '\tb'), 400],
    ['a fold directly after the request line', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
    ['a field name of other letters', post('Cont\xe9nt-Length: 5'), 400],
    ['an unknown expectation', post('Expect: magic'), 417],
    ['an upgrade to h2c', get('GET / HTTP/1.1', 'Connection: Upgrade', 'Upgrade: h2c'), 403],
    ['two upgrades', get('GET / HTTP/1.1', 'Upgrade: websocket, h2c'), 403],
    ['an upgrade with a body', post('Upgrade: websocket', 'Content-Length: 5'), 400],
    ['a hundred and one fields', post(...Array.from({ length: 101 }, (_, index) => `X-${index}: y`)), 431],
    ['a head that is too long', post(`X: ${'a'.repeat(17_000)}`), 431],
  ])('%s', (_, text, status) => {
    expect(() => read(text)).toThrow(Malformed);
    expect(() => read(text)).toThrow(expect.objectContaining({ status }));
  });
});

describe('requests that are read', () => {
  it('gives method, path in normal form, query, host and framing', () => {
    expect(read(post('Content-Length: 12'))).toMatchObject({ method: 'POST', path: '/submit', query: '', host: 'a.example', framing: { kind: 'length', length: 12 }, close: false });
    expect(read(get('GET /a/%7euser/../b?x=/../y HTTP/1.1'))).toMatchObject({ path: '/a/b', query: '?x=/../y', framing: { kind: 'none' } });
    expect(read(get('PUT /a HTTP/1.1', 'transfer-ENCODING: Chunked'))).toMatchObject({ framing: { kind: 'chunked' } });
    expect(read(get('OPTIONS * HTTP/1.1'))).toMatchObject({ path: '*' });
    expect(read('GET / HTTP/1.0\r\n\r\n')).toMatchObject({ version: '1.0', host: '', close: true });
    expect(read(get('GET / HTTP/1.0', 'Connection: keep-alive'))).toMatchObject({ close: false });
    expect(read(get('GET / HTTP/1.1', 'Connection: x, Close'))).toMatchObject({ close: true });
    expect(read(get('GET / HTTP/1.1', 'Upgrade: WebSocket'))).toMatchObject({ upgrade: 'websocket' });
    expect(read('GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n')).toMatchObject({ host: '[::1]:8080' });
  });

  it('waits for the end of a head, however it is cut', () => {
    const text = get('GET /a HTTP/1.1', 'X: y');
    for (let size = 0; size < text.length; size += 1) expect(headEnd(Buffer.from(text.slice(0, size)))).toBeUndefined();
    expect(headEnd(Buffer.from(`${text}GET`))).toBe(text.length);
  });

  it('writes what it has read so that reading it again gives the same', () => {
    const segment = fc.stringMatching(/^[a-z0-9~._%-]{0,6}$/);
    fc.assert(
      fc.property(fc.array(fc.oneof(segment, fc.constantFrom('.', '..', '', '%2e', '%41')), { maxLength: 6 }), (segments) => {
        let head: RequestHead;
        try {
          head = read(get(`GET /${segments.join('/')} HTTP/1.1`));
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed);
          return;
        }
        expect(readRequestHead(writeRequestHead(head))).toEqual(head);
        expect(head.path.split('/')).not.toContain('..');
        expect(head.path).not.toMatch(/\/\/|%2[ef]|%41/i);
      }),
    );
  });

  it('never fails otherwise than by refusing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          const end = headEnd(Buffer.from(bytes));
          if (end !== undefined) readRequestHead(Buffer.from(bytes).subarray(0, end));
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed);
        }
      }),
    );
  });
});

describe('answers', () => {
  const answer = (text: string, method = 'GET'): ReturnType<typeof readResponseHead> => readResponseHead(Buffer.from(`${text}\r\n\r\n`, 'latin1'), method);
  it.each([
    ['HTTP/1.1 200 OK\r\nContent-Length: 3', 'GET', { status: 200, framing: { kind: 'length', length: 3 }, close: false }],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3', 'HEAD', { status: 200, framing: { kind: 'none' } }],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', 'GET', { framing: { kind: 'chunked' } }],
    ['HTTP/1.1 200 OK', 'GET', { framing: { kind: 'until-close' } }],
    ['HTTP/1.1 204 No Content', 'GET', { framing: { kind: 'none' } }],
    ['HTTP/1.1 304 Not Modified\r\nContent-Length: 3', 'GET', { framing: { kind: 'none' } }],
    ['HTTP/1.1 100 Continue', 'POST', { status: 100, framing: { kind: 'none' } }],
    ['HTTP/1.0 200', 'GET', { close: true }],
    ['HTTP/1.1 200 OK\r\nConnection: close', 'GET', { close: true }],
  ])('%s to %s', (text, method, expected) => expect(answer(text, method)).toMatchObject(expected));

  it.each(['HTTP/1.1 20 OK', 'HTTP/1.1 200OK', 'HTTP/2 200 OK', 'ICY 200 OK', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2'])(
    'refuses %j', (text) => expect(() => answer(text)).toThrow(Malformed),
  );
});
