import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileHttpMatch, compileWholeMatch } from '../http-match.ts';
import type { HttpMatch } from '../ir.ts';
import { buildAutomaton, readWith } from './automaton.ts';
import { judgeHead, type HeadVerdict } from './judge-head.ts';
import { expressionMachine } from './machine.ts';
import { compileSoftHttp, effortAtOnce, type SoftHttpTables } from './soft-http.ts';

function tablesOf(rules: readonly HttpMatch[]): SoftHttpTables {
  const compiled = compileSoftHttp(rules);
  if ('tooLarge' in compiled) throw new Error(compiled.tooLarge);
  return compiled.tables;
}

function verdict(rules: readonly HttpMatch[], head: string): HeadVerdict['kind'] {
  return judgeHead(tablesOf(rules), head).kind;
}

const bytesOf = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));

/** Expressions over few letters, so that they match often. */
const { expression } = fc.letrec<{ expression: string; piece: string }>((tie) => ({
  expression: fc.array(tie('piece'), { maxLength: 3 }).map((pieces) => pieces.join('')),
  piece: fc.oneof(
    { depthIdentifier: 'expression', maxDepth: 2 },
    fc.constantFrom('a', 'b', '/', '.', '[a-c]', '[^/]', '[^a]', String.raw`\d`, String.raw`\w`, String.raw`\b`, '^', '$', String.raw`\.`, '(?i:A)', String.raw`\pL`, '[[:alpha:]]', ''),
    fc.tuple(tie('expression'), fc.constantFrom('*', '+', '?', '{1,2}', '*?')).map(([inner, count]) => `(?:${inner})${count}`),
    fc.tuple(tie('expression'), tie('expression')).map(([one, other]) => `(${one}|${other})`),
  ),
}));

describe('expressions as machines', () => {
  test('mean what the evaluator means by them', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'A', '/', '.', '1', '-', 'é'), maxLength: 8 });
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 5, maxLength: 20 }), (source, texts) => {
        const whole = compileWholeMatch(source);
        const effort = effortAtOnce();
        const machine = expressionMachine(source, effort);
        const everything = { start: 0, step: () => 0, accepts: () => true };
        const automaton = buildAutomaton([everything, machine], ([, accepted]) => (accepted === true ? 1n : 0n), effort);
        for (const one of texts) expect([source, one, readWith(automaton, bytesOf(one)) === 1n]).toEqual([source, one, whole(one)]);
      }),
      { numRuns: 200 },
    );
  });
});

describe('heads under soft rules', () => {
  const get = (path: string, more = 'Host: a\r\n'): string => `GET ${path} HTTP/1.1\r\n${more}\r\n`;

  test.each([
    ['allowed', get('/public/a?x=1')],
    ['allowed', get('/public/%C3%A9%25')],
    ['allowed', 'GET /public/ HTTP/1.0\r\nHost: a:80\r\n\r\n'],
    ['denied', get('/private')],
    ['denied', 'POST /public/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['denied', 'BREW /public/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['malformed', get('/public//a')],
    ['malformed', get('/public/../private')],
    ['malformed', get('/public/.')],
    ['malformed', get('/public/%2fa')],
    ['malformed', get('/public/%2F')],
    ['malformed', get('/public/%61')],
    ['malformed', get('/public/%c3')],
    ['malformed', get('/public/%4')],
    ['malformed', get('/public/\\')],
    ['malformed', get('/public/#a')],
    ['malformed', get('http://a/public/a')],
    ['malformed', get('*')],
    ['malformed', `\r\n${get('/public/a')}`],
    ['malformed', 'GET  /public/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['malformed', 'GET\t/public/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['malformed', 'GET /public/a HTTP/1.1 \r\nHost: a\r\n\r\n'],
    ['malformed', 'GET /public/a HTTP/2.0\r\nHost: a\r\n\r\n'],
    ['malformed', 'GET /public/a HTTP/1.1\nHost: a\n\n'],
    ['malformed', 'GET /public/a\r\n\r\n'],
    ['malformed', 'CONNECT /public/a HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['malformed', get('/public/a', '')],
    ['malformed', get('/public/a', 'Host: a\r\nHost: a\r\n')],
    ['malformed', get('/public/a', 'Host: a b\r\n')],
    ['malformed', get('/public/a', 'Host : a\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\n folded: x\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nX: \0\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nX: a\rb\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nTransfer-Encoding: chunked\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nContent-Length: 1, 1\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nContent-Length: +1\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\ncontent-length: 2000000000\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nUpgrade: h2c\r\n')],
    ['malformed', get('/public/a', 'Host: a\r\nExpect: 100-continue\r\n')],
    ['malformed', 'GET /public/a HTTP/1.1\r\nHost: a\r\n'],
    ['malformed', '\u0016\u0003\u0001\0'],
    ['malformed', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ] as const)('are %s: %j', (expected, head) => {
    expect(verdict([{ method: 'GET', path: '/public/.*' }], head)).toBe(expected);
  });

  test('say how long the body is and which rule let them pass', () => {
    const rules = [{ method: 'PUT' }, { method: 'POST', path: '/a' }, { path: '/a' }];
    expect(judgeHead(tablesOf(rules), 'POST /a HTTP/1.1\r\nX-1: 9\r\nContent-Length:  017 \r\nHost: a\r\nY: 5\r\n\r\n')).toEqual({ kind: 'allowed', rule: 1, bodyLength: 17 });
  });

  test('are matched by headers and hosts as the evaluator matches them', () => {
    const rules: HttpMatch[] = [{ host: '^[a-z]+\\.example$', headers: [{ name: 'X-Team', value: 'red blue' }, { name: 'x-any' }, { name: 'no', value: 'x', mismatch: 'LOG' }] }];
    const head = (fields: string): string => `GET / HTTP/1.1\r\n${fields}\r\n`;
    expect(verdict(rules, head('host:\tshop.example \r\nx-team:  red blue\t\r\nX-ANY:\r\n'))).toBe('allowed');
    expect(verdict(rules, head('host: shop.example\r\nx-team: red  blue\r\nx-any:\r\n'))).toBe('denied');
    expect(verdict(rules, head('host: shop.example\r\nx-team: red blue x\r\nx-any:\r\n'))).toBe('denied');
    expect(verdict(rules, head('host: shop.example.\r\nx-team: red blue\r\nx-any:\r\n'))).toBe('denied');
    expect(verdict(rules, head('host: shop.example\r\nx-team: red blue\r\n'))).toBe('denied');
    expect(verdict(rules, head('host: shop.example\r\nx-team: red blue\r\nx-team: red blue\r\nx-any:\r\n'))).toBe('malformed');
  });

  test('give the evaluator’s verdict, whatever the rules', () => {
    const word = fc.constantFrom('a', 'b', 'ab', 'a.b', 'A', 'é%');
    const path = fc.array(fc.constantFrom('a', 'b', 'aa', 'a.b', '%25', '...'), { maxLength: 3 }).map((segments) => `/${segments.join('/')}`);
    const header = fc.record({ name: fc.constantFrom('X-A', 'x-b', 'Accept'), value: fc.option(word, { nil: undefined }), mismatch: fc.option(fc.constant('LOG' as const), { nil: undefined, freq: 5 }) });
    const optional = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(one, { nil: undefined });
    const rule = fc.record({
      method: optional(fc.constantFrom('GET', 'GET|PUT', '[A-Z]+', '')), path: optional(fc.oneof(expression.map((one) => `/${one}`), fc.constantFrom('/a.*', '/(a|b)/.*'))),
      host: optional(fc.constantFrom('a', '.*', '[a-c]', '^b$')), headers: optional(fc.array(header, { maxLength: 2 })),
    });
    const request = fc.record({
      method: fc.constantFrom('GET', 'PUT', 'get', 'BREW'), path: fc.tuple(path, fc.constantFrom('', '?', '?a=b/..//c')).map((parts) => parts.join('')), host: fc.constantFrom('a', 'b', 'c:80'),
      headers: fc.dictionary(fc.constantFrom('x-a', 'X-B', 'other'), word, { maxKeys: 3 }),
    });
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 5 }), fc.array(request, { minLength: 5, maxLength: 15 }), (rules, requests) => {
        const tables = tablesOf(rules as HttpMatch[]);
        const tests = (rules as HttpMatch[]).map(compileHttpMatch);
        for (const one of requests) {
          const head = `${one.method} ${one.path} HTTP/1.1\r\nHost: ${one.host}\r\n${Object.entries(one.headers).map(([name, value]) => `${name}:  ${value} \r\n`).join('')}\r\n`;
          const first = tests.findIndex((matches) => matches(one));
          expect([rules, one, judgeHead(tables, head)]).toMatchObject([rules, one, first < 0 ? { kind: 'denied' } : { kind: 'allowed', rule: first }]);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('cannot be judged by what makes tables too large', () => {
    const tooLarge = (rules: readonly HttpMatch[]): boolean => 'tooLarge' in compileSoftHttp(rules);
    expect(tooLarge([{ path: '/(a|b)*a(a|b){11}' }])).toBe(true);
    expect(tooLarge([{ path: '/(a|b)*a(a|b){20}' }])).toBe(true);
    expect(tooLarge([{ path: '/(([a-z]{1,20}){1,20}){1,2}' }])).toBe(true); // small tables that take long to make
    expect(tooLarge(Array.from({ length: 65 }, (_, index) => ({ path: `/${index}` })))).toBe(true);
    expect(tooLarge(Array.from({ length: 40 }, (_, index) => ({ headers: [{ name: `x-${index}`, value: 'a' }] })))).toBe(true);
    expect(tooLarge(Array.from({ length: 20 }, (_, index) => ({ method: 'GET', path: `/api/v[0-9]+/things-${index}/[^/]+(/parts)?` })))).toBe(false);
  });
});
