import { fileURLToPath } from 'node:url';
import { createPolicySet, explain, PolicyEngine, renderExplanation } from '@palisade/policy';
import { parsePolicies } from '@palisade/policy-language';
import { describe, expect, test } from 'vitest';
import { clusterFacts, flowQuery } from './cluster-facts.ts';
import { readCaseFiles } from './run-cases.ts';

const corpus = readCaseFiles(fileURLToPath(new URL('../../libs/policy/corpus', import.meta.url)));
const cases = corpus.flatMap(({ content }) => content.cases ?? []);

/** Every flow of the corpus with its explanation. */
const explained = cases.flatMap(({ id, kind, cluster, policies, flows }) => {
  const text = policies.map((policy) => JSON.stringify(policy)).join('\n---\n');
  const { documents } = parsePolicies(text, { fromApiServer: true, legacyRequires: kind === 'cilium-legacy' });
  const engine = new PolicyEngine(createPolicySet(documents), clusterFacts(cluster));
  return flows.map((flow, i) => {
    const query = flowQuery(flow);
    return { at: `${id}#${i}`, verdict: engine.verdict(query), explanation: explain(engine, query) };
  });
});
const directions = explained.flatMap(({ at, explanation: { egress, ingress } }) => [
  { at, ...egress },
  { at, ...ingress },
]);

describe('explanations of all flows of the corpus', () => {
  test('say what the verdict says', () => {
    for (const { at, verdict, explanation } of explained) {
      expect([at, explanation.verdict, explanation.egress.verdict, explanation.ingress.verdict]).toEqual([
        at,
        verdict.verdict,
        verdict.egress.verdict,
        verdict.ingress.verdict,
      ]);
    }
  });

  test('name a policy for every decision that a policy made, and select by it', () => {
    for (const { at, reason, policies, selectedBy, ruleId } of directions) {
      if (!['rule', 'default-deny', 'l7-denied', 'conflict'].includes(reason)) continue;
      expect([at, policies.length > 0, ruleId > 0]).toEqual([at, true, true]);
      const selecting = selectedBy.map(({ kind, namespace = '', name }) => `${kind} ${namespace}/${name}`);
      for (const { kind, namespace = '', name } of policies) expect(selecting).toContain(`${kind} ${namespace}/${name}`);
    }
  });

  test('name a nearest rule for most default denies, and say what it lacked', () => {
    const denied = directions.filter(({ reason }) => reason === 'default-deny');
    expect(denied.length).toBeGreaterThan(100);
    for (const { nearest } of denied) if (nearest !== undefined) expect(nearest.because).toMatch(/^(it |outside |node |a |the |[a-z-]+\/)/);
    expect(denied.filter(({ nearest }) => nearest !== undefined).length).toBeGreaterThan(denied.length / 2);
  });

  test('are sentences, without holes', () => {
    for (const { at, explanation } of explained) {
      const text = renderExplanation(explanation);
      expect([at, /undefined|null|NaN|\[object|  \.|and no rule allows \./.test(text)]).toEqual([at, false]);
      expect(text.split('\n').length).toBeGreaterThanOrEqual(5);
    }
  });
});
