import 'reflect-metadata';
import type { StoredFlow } from '@palisade/control';
import { isDomainError } from '@palisade/errors';
import { describe, expect, it } from 'vitest';
import { CEL_STEPS, celTest } from './hubble-cel.ts';
import { flowAt } from './testing/hubble-under-test.ts';

const SEEN_US = 1_800_000_000_000_000;
const stored = (over: Parameters<typeof flowAt>[1] = {}): StoredFlow => ({ ...flowAt(SEEN_US, over), id: '1-0', clusterId: 'c' }) as StoredFlow;

function matches(flow: StoredFlow, ...texts: string[]): boolean {
  return celTest(texts, { left: CEL_STEPS })(flow);
}

function refusal(text: string, budget = { left: CEL_STEPS }): string {
  try {
    celTest([text], budget)(stored());
  } catch (error) {
    if (isDomainError(error, 'request.invalid')) return error.message;
    throw error;
  }
  return expect.fail(`'${text}' was not refused`);
}

describe('a CEL expression over a flow', () => {
  it.each([
    '_flow.verdict == Verdict.FORWARDED', '_flow.verdict == flow.Verdict.FORWARDED', '_flow.verdict == 1', '_flow.source.identity in [1001u, 7u]',
    '_flow.source.labels.exists(l, l == "k8s:app=frontend")', '_flow.source.labels.all(l, l.contains("="))', '_flow.source.labels.exists_one(l, true)',
    '_flow.source.labels.filter(l, l.endsWith("frontend")).size() == 1', '_flow.l4.TCP.destination_port == 8080u', '!has(_flow.l7)', '_flow.l7.http.code == 0u',
    '_flow.time > timestamp("2020-01-01T00:00:00Z")', '_flow.is_reply == false', '_flow.destination.pod_name.matches("^back.*a$")', '_flow.source_names.size() == 0',
    '_flow.verdict == 1 ? _flow.traffic_direction == TrafficDirection.EGRESS : false',
  ])('matches by %s', (text) => {
    expect(matches(stored(), text)).toBe(true);
    expect(matches(stored(), `!(${text})`)).toBe(false);
  });

  it('is one of several alternatives', () => {
    expect(matches(stored(), 'false', '_flow.verdict == 1')).toBe(true);
    expect(matches(stored(), 'false', '_flow.verdict == 2')).toBe(false);
  });

  it('does not match a flow for which it cannot be decided', () => {
    expect(matches(stored(), '_flow.source.labels[9] == "x"')).toBe(false);
    expect(matches(stored(), '1 / (_flow.source.identity == 1001u ? 0 : 1) == 1')).toBe(false);
  });

  it.each([
    ['nothing', ''], ['a broken one', '_flow.verdict =='], ['a number', '1 + 1'], ['a text', '_flow.node_name'], ['an unknown name', 'verdict == 1'], ['an unknown function', 'now() == _flow.time'],
    ['a field that is not there', '_flow.nothing == 1'], ['one behind a condition', '_flow.verdict == 2 && _flow.source.nothing == 1'], ['one behind a field that has no fields', '_flow.node_name.x == 1'],
    ['an unknown function behind a condition that only a flow meets', '_flow.verdict == 1 && now() == _flow.time'], ['a wrong type', '_flow.node_name.startsWith(1)'],
    ['too many characters', `_flow.node_name == "${'x'.repeat(5_000)}"`], ['deep nesting', `${'('.repeat(2_000)}true${')'.repeat(2_000)}`],
  ])('is refused: %s', (_, text) => {
    expect(refusal(text)).toMatch(/^The CEL expression '.*' cannot be evaluated: .+/s);
  });

  it.each([
    ['lists in one another', '_flow.source.labels.all(a, _flow.source.labels.all(b, _flow.source.labels.all(c, a == b)))'],
    ['long lists in one another', `[${'1,'.repeat(99)}1].all(a, [${'1,'.repeat(99)}1].all(b, a == b))`],
    ['many expressions matched', Array.from({ length: 25 }, () => '_flow.node_name.matches("x")').join('||')],
    ['texts that double', '["xxxxxxxxxxxxxxxx"].map(a, a + a).map(a, a + a).size() == 1'], ['lists that double', '[[1]].map(a, [a, a]).map(a, [a, a]).size() == 1'],
    ['growth in a filter', '["x"].filter(a, (a + a) == "xx").size() == 1'],
  ])('is refused for what it may take: %s', (_, text) => {
    expect(refusal(text)).toMatch(/steps|grow/);
  });

  it('shares its steps with the others of the call', () => {
    const budget = { left: 100 };
    celTest(['_flow.source.labels.exists(l, l == "a")'], { left: 400 });
    expect(refusal('_flow.source.labels.exists(l, l == "a")', budget)).toContain('steps');
  });
});
