import { describe, expect, test } from 'vitest';
import { parsePolicies } from './parse-policies.ts';

/** Of processor time, which a loaded machine does not stretch; quadratic behaviour would take far longer on these inputs. */
const PROMPT_CPU_MS = 8_000;

function refusedPromptly(text: string): string[] {
  const start = process.cpuUsage();
  const { documents, problems } = parsePolicies(text);
  expect(process.cpuUsage(start).user / 1_000).toBeLessThan(PROMPT_CPU_MS);
  expect(documents).toEqual([]);
  return [...new Set(problems.filter(({ severity }) => severity === 'error').map(({ code }) => code))];
}

const policyWith = (spec: string) => `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: ${spec}\n`;

describe('hostile input ends in a clear error, soon', { timeout: 180_000 }, () => {
  test('a document of 10 MB', () => {
    expect(refusedPromptly(policyWith(`{podSelector: {matchLabels: {a: "${'x'.repeat(10_000_000)}"}}}`))).toEqual(['input.too-large']);
  });

  test('a billion laughs', () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array.from({ length: 10 }, () => `*l${i}`).join(', ')}]`);
    expect(refusedPromptly(`l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n${levels.join('\n')}\n`)).toEqual(['input.too-large']);
  });

  test('many aliases of one anchor', () => {
    expect(refusedPromptly(`a: &a [x, x, x, x, x, x, x, x, x, x]\nb: [${Array.from({ length: 15_000 }, () => '*a').join(', ')}]`)).toEqual([
      'input.too-large',
    ]);
  });

  test.each([
    ['flow sequences', '['.repeat(1_000_000)],
    ['flow maps', '{a: '.repeat(500_000)],
    ['block sequences on one line', '- '.repeat(1_000_000)],
    ['explicit keys on one line', '? '.repeat(1_000_000)],
    ['indentation', Array.from({ length: 1_000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['closed brackets', `${'['.repeat(400)}${']'.repeat(400)}`],
  ])('deep nesting by %s', (_, text) => {
    expect(refusedPromptly(text).filter((code) => !['input.too-deep', 'yaml.syntax'].includes(code))).toEqual([]);
  });

  test.each([
    ['lines', 'a: b\n'.repeat(200_000)],
    ['list entries', `[${'a,'.repeat(200_000)}]`],
  ])('very many %s', (_, text) => {
    expect(refusedPromptly(text)).toEqual(['input.too-large']);
  });

  test('a map with very many keys', () => {
    const keys = Array.from({ length: 40_000 }, (_, i) => `k${i}: v`).join(', ');
    expect(refusedPromptly(policyWith(`{podSelector: {matchLabels: {${keys}}, matchExpressions: x}}`))).toEqual(['value.type']);
  });

  test('very many documents', () => {
    expect(refusedPromptly('a: b\n---\n'.repeat(6_000))).toContain('input.too-many-documents');
  });

  test('an object with very many unknown fields', () => {
    const keys = Array.from({ length: 20_000 }, (_, i) => `k${i}: v`).join(', ');
    expect(refusedPromptly(policyWith(`{${keys}}`))).toEqual(['field.unknown']);
  });

  test('regular expressions that blow up elsewhere', () => {
    const rule = (path: string) =>
      `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: c}\nspec: {endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: ${JSON.stringify(path)}}]}}]}]}`;
    expect(refusedPromptly(rule('('.repeat(2_000)))).toEqual(['value.range']);
    expect(refusedPromptly(rule('((a{100}){100}){100}'))).toEqual(['l7.invalid']);
  });

  test.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'])(
    'a field named %s is unknown like any other and reaches no prototype',
    (name) => {
      const { problems } = parsePolicies(policyWith(`{podSelector: {}, ${name}: {polluted: true}}`));
      expect(problems.map(({ code, pointer }) => [code, pointer])).toEqual([['field.unknown', `/spec/${name}`]]);
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
      expect(parsePolicies(policyWith(`{podSelector: {matchLabels: {${name}: x}}}`)).problems.every(({ severity }) => severity === 'error')).toBe(
        true,
      );
      expect(Reflect.get({}, 'x')).toBeUndefined();
    },
  );
});
