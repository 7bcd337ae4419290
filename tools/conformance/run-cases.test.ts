import { describe, expect, test } from 'vitest';
import type { CaseFile } from './case-file.ts';
import { runConformance } from './run-cases.ts';

const cluster = {
  namespaces: [{ name: 'a', labels: { 'kubernetes.io/metadata.name': 'a' } }],
  workloads: [
    { namespace: 'a', name: 'x', labels: { app: 'x' }, ips: ['10.0.0.1'], node: 'n1' },
    { namespace: 'a', name: 'y', labels: { app: 'y' }, ips: ['10.0.0.2'], node: 'n1' },
  ],
};
const denyAll = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'd', namespace: 'a' }, spec: { podSelector: {} } };
const flow = { from: 'a/x', to: 'a/y', protocol: 'TCP', port: 80 };

function file(cases: CaseFile['cases'], lists: Partial<CaseFile> = {}) {
  return [{ file: 'f.json', content: { format: 1, name: 'f', ...(cases === undefined ? {} : { cases }), ...lists } }];
}

const base = { id: 'c', title: 't', kind: 'k8s-networkpolicy', features: [], cluster, policies: [denyAll] };

describe('running conformance cases', () => {
  test('reports a flow whose verdict differs, with what was expected and what was found', () => {
    const report = runConformance(file([{ ...base, flows: [{ ...flow, expect: 'allow', ingress: 'allow' }] }]));
    expect(report).toMatchObject({
      passed: 0,
      failed: 1,
      failures: [{ case: 'c', flow: 0, got: 'deny', ingress: 'deny', expected: 'allow, ingress allow' }],
    });
  });

  test('gives results for flows that expect nothing, as neither passed nor failed', () => {
    const report = runConformance(file([{ ...base, flows: [flow] }]));
    expect(report).toMatchObject({ passed: 0, failed: 0, results: [{ case: 'c', flow: 0, got: 'deny', egress: 'allow', ingress: 'deny' }] });
  });

  test('counts a case with a refused policy as failed for each of its flows', () => {
    const report = runConformance(file([{ ...base, policies: [{ ...denyAll, kind: 'Secret' }], flows: [{ ...flow, expect: 'deny' }] }]));
    expect(report.failed).toBe(1);
    expect(report.failures[0]?.got).toContain('error:');
  });

  test('judges entries of invalid and valid lists by whether the parser takes them', () => {
    const entries = [{ id: 'e', policyKind: 'NetworkPolicy', policy: denyAll }];
    expect(runConformance(file(undefined, { valid: entries })).results).toEqual([{ case: 'e', flow: 0, got: 'accept' }]);
    expect(runConformance(file(undefined, { invalid: entries })).failures[0]).toMatchObject({ got: 'accept', expected: 'reject' });
  });
});
