import { describe, expect, test } from 'vitest';
import type { LabelRequirement } from './ir.ts';
import { compileRequirements, LabelView, workloadLabels } from './labels.ts';

const web = new LabelView(
  workloadLabels({
    clusterName: 'c1',
    namespace: 'shop',
    namespaceLabels: { team: 'red' },
    serviceAccount: 'teller',
    labels: { app: 'web', 'cloud:region': 'eu', 'tag:Cost Center': 'a b' },
  }),
);
const holds = (key: string, operator: LabelRequirement['operator'], ...values: string[]) =>
  compileRequirements({ requirements: [{ key, operator, values }], localCluster: false })(web);

describe('label requirements', () => {
  test.each([
    ['k8s:app', 'in', ['web', 'x'], true],
    ['k8s:app', 'in', ['x'], false],
    ['k8s:app', 'not-in', ['x'], true],
    ['k8s:app', 'not-in', ['web'], false],
    ['k8s:absent', 'not-in', ['x'], true],
    ['k8s:absent', 'in', ['x'], false],
    ['k8s:app', 'exists', [], true],
    ['k8s:absent', 'exists', [], false],
    ['k8s:absent', 'not-exists', [], true],
    ['k8s:app', 'not-exists', [], false],
  ] as const)('%s %s %j is %s', (key, operator, values, expected) => {
    expect(holds(key, operator, ...values)).toBe(expected);
  });

  test('the source any reaches Kubernetes and reserved labels, not those of clouds', () => {
    expect(holds('any:app', 'exists')).toBe(true);
    expect(holds('any:region', 'exists')).toBe(false);
    expect(holds('cloud:region', 'in', 'eu')).toBe(true);
    expect(holds('tag:Cost Center', 'in', 'a b')).toBe(true);
  });

  test('an unknown source matches nothing', () => {
    expect(holds('container:app', 'exists')).toBe(false);
  });

  test('workload labels carry namespace, namespace labels, cluster and service account', () => {
    expect(holds('k8s:io.kubernetes.pod.namespace', 'in', 'shop')).toBe(true);
    expect(holds('k8s:io.cilium.k8s.namespace.labels.team', 'in', 'red')).toBe(true);
    expect(holds('k8s:io.cilium.k8s.policy.cluster', 'in', 'c1')).toBe(true);
    expect(holds('k8s:io.cilium.k8s.policy.serviceaccount', 'in', 'teller')).toBe(true);
  });

  test('no requirement matches everything', () => {
    expect(compileRequirements({ requirements: [], localCluster: false })(new LabelView({}))).toBe(true);
  });

  test('a label named like a member of Object.prototype is an ordinary label', () => {
    expect(
      compileRequirements({ requirements: [{ key: 'k8s:constructor', operator: 'exists', values: [] }], localCluster: false })(
        new LabelView({ app: 'x' }),
      ),
    ).toBe(false);
  });
});
