import type { GateContext } from '@palisade/dataplane';
import type { HttpRule } from '@palisade/policy';
import { describe, expect, it } from 'vitest';
import { readRequestHead } from './message-head.ts';
import { PolicyBook } from './policy-book.ts';

const context = (over: Partial<GateContext> = {}): GateContext => ({ endpointSlot: 1, direction: 'ingress', verdict: 'rules', generation: 7, rules: 0, ruleId: 1, peerIdentity: 9, ...over });

function judge(rules: readonly HttpRule[], request: string, contexts: readonly GateContext[] = [context()]): { allowed: boolean; ruleId: number } {
  const book = new PolicyBook();
  book.put(7, [{ mode: 'hard', http: rules }]);
  return book.judge(contexts, readRequestHead(Buffer.from(`${request}\r\n\r\n`)));
}
const GET = 'GET /public/a?b=c HTTP/1.1\r\nHost: a.example\r\nX-Role: one\r\nX-Role: two';

describe('the judgement of a request', () => {
  it.each<[string, Omit<HttpRule, 'ruleId'>, boolean]>([
    ['everything without a field', {}, true],
    ['the whole path with its query', { path: '/public/.*' }, true],
    ['not a part of the path', { path: '/public' }, false],
    ['the query', { path: '/public/a' }, false],
    ['the method in its case', { method: 'GET' }, true],
    ['not the method in another case', { method: 'get' }, false],
    ['the host', { host: 'a[.]example' }, true],
    ['not a part of the host', { host: 'a' }, false],
    ['all fields at once', { method: 'GET', host: 'b' }, false],
    ['a field that is there', { headers: [{ name: 'x-role' }] }, true],
    ['a field that is missing', { headers: [{ name: 'X-Other' }] }, false],
    ['the values of a field that comes twice as one', { headers: [{ name: 'X-Role', value: 'one,two' }] }, true],
    ['not one of them', { headers: [{ name: 'X-Role', value: 'one' }] }, false],
  ])('asks for %s', (_, rule, allowed) => expect(judge([{ ...rule, ruleId: 5 }], GET)).toEqual({ allowed, ruleId: allowed ? 5 : 0 }));

  it('needs one rule of several, and every end', () => {
    const rules = [{ path: '/other', ruleId: 4 }, { path: '/public/.*', ruleId: 5 }];
    expect(judge(rules, GET)).toEqual({ allowed: true, ruleId: 5 });
    expect(judge(rules, GET, [context(), context({ verdict: 'pass', direction: 'egress' })]).allowed).toBe(true);
    expect(judge(rules, GET, [context(), context({ verdict: 'deny', direction: 'egress' })]).allowed).toBe(false);
    expect(judge(rules, GET, [context(), context({ rules: 1 })]).allowed).toBe(false);
  });

  it('allows nothing of which nothing is known', () => {
    expect(judge([{ ruleId: 5 }], GET, []).allowed).toBe(false);
    expect(judge([{ ruleId: 5 }], GET, [context({ generation: 6 })]).allowed).toBe(false);
    expect(judge([], GET).allowed).toBe(false);
  });

  it('keeps the generation before, and no older one', () => {
    const book = new PolicyBook();
    for (const generation of [1, 2, 3]) book.put(generation, [{ mode: 'hard', http: [{ ruleId: generation }] }]);
    const head = readRequestHead(Buffer.from(`${GET}\r\n\r\n`));
    expect([1, 2, 3].map((generation) => book.judge([context({ generation })], head).allowed)).toEqual([false, true, true]);
  });
});
