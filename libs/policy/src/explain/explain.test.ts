import { describe, expect, test } from 'vitest';
import { PolicyEngine } from '../evaluate/engine.ts';
import type { ClusterFacts } from '../facts.ts';
import type { L7Clause, Peer, PolicyDocument, PolicyRule, PortMatch } from '../ir.ts';
import { workloadLabels } from '../labels.ts';
import { createPolicySet } from '../policy-set.ts';
import type { FlowQuery } from '../verdict.ts';
import { explain, renderExplanation } from './explain.ts';

const labels = (app: string, tier: string) => workloadLabels({ clusterName: 'c', namespace: 'shop', namespaceLabels: {}, labels: { app, tier } });
const facts: ClusterFacts = {
  clusterName: 'c',
  identityRevision: 1,
  identities: [
    { id: 300, labels: labels('web', 'front') },
    { id: 301, labels: labels('api', 'back') },
  ],
  workloads: [
    { key: 'web', namespace: 'shop', name: 'web', identity: 300, network: 'default', addresses: ['10.0.0.1'], node: 'n1' },
    { key: 'api', namespace: 'shop', name: 'api', identity: 301, network: 'default', addresses: ['10.0.0.2'], node: 'n1' },
  ],
  nodes: [],
  services: [],
  cidrGroups: [],
  hostFirewall: false,
};

const selecting = (...requirements: [string, string][]): Peer => ({
  kind: 'endpoints',
  selector: { requirements: requirements.map(([key, value]) => ({ key: `k8s:${key}`, operator: 'in', values: [value] })), localCluster: true },
});
const port = (first: number): PortMatch => ({ kind: 'range', protocol: 'TCP', first, last: first });

function rule(index: number, peers: readonly Peer[], ports: readonly PortMatch[], extra: { l7?: L7Clause; log?: string } = {}): PolicyRule {
  const { l7, log } = extra;
  return {
    id: index + 1,
    index,
    section: 'ingress',
    action: 'allow',
    peers,
    ports: [{ ports, ...(l7 === undefined ? {} : { l7 }) }],
    ...(log === undefined ? {} : { log }),
  };
}

function explained(rules: readonly PolicyRule[], flow: Partial<FlowQuery> = {}) {
  const policy: PolicyDocument = {
    irVersion: 1,
    kind: 'CiliumNetworkPolicy',
    namespace: 'shop',
    name: 'api',
    revision: 4,
    mode: 'enforce',
    blocks: [
      {
        spec: 0,
        tier: 'normal',
        priority: 0,
        direction: 'ingress',
        subject: { kind: 'endpoints', selector: { requirements: [{ key: 'k8s:app', operator: 'in', values: ['api'] }], localCluster: false } },
        isolates: true,
        rules,
      },
    ],
  };
  return explain(new PolicyEngine(createPolicySet([policy]), facts), {
    source: { workload: 'web' },
    destination: { workload: 'api' },
    protocol: 'TCP',
    port: 80,
    ...flow,
  });
}

describe('explaining an allowed flow', () => {
  test('names the rule, and says that nothing restricts the other end', () => {
    const explanation = explained([rule(0, [], []), rule(1, [selecting(['app', 'web'])], [port(80)], { log: 'checkout' })]);
    expect(explanation.ingress).toMatchObject({
      verdict: 'allow',
      because: 'CiliumNetworkPolicy shop/api (revision 4, rule 1) allows it.',
      log: 'checkout',
    });
    expect(explanation.egress.because).toBe('Nothing restricts shop/web for egress to shop/api.');
    expect(explanation.summary).toBe('shop/web to shop/api, TCP port 80, is allowed.');
  });
});

describe('explaining a default deny', () => {
  test('prefers the rule whose peer matches and whose port does not', () => {
    const { nearest } = explained([
      rule(0, [selecting(['app', 'db'])], [port(80)]),
      rule(1, [selecting(['app', 'web'])], [port(8080), port(8443)]),
    ]).ingress;
    expect(nearest).toEqual({
      rule: expect.objectContaining({ name: 'api', index: 1 }),
      because: 'it is about TCP 8080 or TCP 8443, not TCP port 80',
    });
  });

  test('names the labels that the peer lacks, of the selector that misses fewest', () => {
    const { nearest } = explained([
      rule(0, [selecting(['app', 'x'], ['tier', 'y']), selecting(['app', 'web'], ['tier', 'back'])], [port(80)]),
    ]).ingress;
    expect(nearest?.because).toBe('shop/web lacks tier=back');
  });

  test('says so when a rule names nobody', () => {
    expect(explained([rule(0, [], [])]).ingress.nearest?.because).toContain('it names no peer, so it matches nobody');
  });

  test('has no nearest rule where there is none, but names the policy that isolates', () => {
    const { ingress } = explained([]);
    expect(ingress.nearest).toBeUndefined();
    expect(ingress.because).toBe('shop/api is isolated for ingress by CiliumNetworkPolicy shop/api (revision 4), and no rule allows shop/web.');
    expect(ingress.selectedBy).toEqual([expect.objectContaining({ name: 'api', revision: 4 })]);
  });

  test('lists outside peers by what was expected instead', () => {
    const { nearest } = explained([rule(0, [{ kind: 'cidr', cidr: '10.0.0.0/8', except: ['10.1.0.0/16'], matchesPods: false }], [port(80)])], {
      source: { address: '8.8.8.8', names: ['dns.example'] },
    }).ingress;
    expect(nearest?.because).toBe('outside 8.8.8.8 (dns.example) is not among 10.0.0.0/8 except 10.1.0.0/16 outside the cluster');
  });
});

describe('explaining a refused request', () => {
  test('says that the connection passes and the content does not', () => {
    const { ingress } = explained([rule(0, [{ kind: 'any' }], [port(80)], { l7: { kind: 'http', mode: 'hard', rules: [{ path: '/ok' }] } })], {
      http: { method: 'GET', path: '/no', host: 'shop' },
    });
    expect(ingress).toMatchObject({ verdict: 'deny', connection: 'l7', reason: 'l7-denied' });
    expect(ingress.because).toContain('The connection is allowed, but the request matches no content rule');
  });
});

describe('the text of an explanation', () => {
  test('has the summary, then both ends with their reasons', () => {
    expect(renderExplanation(explained([rule(0, [selecting(['app', 'web'])], [port(8080)])])).split('\n')).toEqual([
      'shop/web to shop/api, TCP port 80, is denied.',
      '  egress at shop/web: allow',
      '    Nothing restricts shop/web for egress to shop/api.',
      '  ingress at shop/api: deny',
      '    shop/api is isolated for ingress by CiliumNetworkPolicy shop/api (revision 4), and no rule allows shop/web.',
      '    Selected by: CiliumNetworkPolicy shop/api (revision 4)',
      '    Nearest rule: CiliumNetworkPolicy shop/api (revision 4, rule 0) did not match because it is about TCP 8080, not TCP port 80.',
    ]);
  });

  test('is JSON as well', () => {
    const explanation = explained([rule(0, [], [])]);
    expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation);
  });
});
