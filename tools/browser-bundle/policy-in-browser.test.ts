import { createContext, runInContext } from 'node:vm';
import { build, type Rolldown } from 'vite';
import { describe, expect, it } from 'vitest';
import { checkout } from '../dev/command.ts';

/** What a page would load, as one script that leaves the room's exports in `policy`. */
async function bundle(): Promise<string> {
  const output = await build({
    root: checkout,
    configFile: false,
    logLevel: 'silent',
    resolve: { conditions: ['palisade-src', 'browser'] },
    build: { write: false, minify: false, lib: { entry: 'libs/policy/src/index.ts', formats: ['iife'], name: 'policy' } },
  });
  const [{ output: chunks }] = output as [Rolldown.RolldownOutput];
  expect(chunks).toHaveLength(1);
  return chunks[0].code;
}

/** Facts and a policy set of one rule: frontend may reach backend on 8080. */
const QUESTION = `
  const labels = (app) => ({ 'k8s:app': app, 'k8s:io.kubernetes.pod.namespace': 'shop' });
  const workload = (name, identity, address) => ({ key: 'pod/shop/' + name, namespace: 'shop', name, identity, network: 'default', addresses: [address], node: 'n1' });
  const facts = {
    clusterName: 'demo', identityRevision: 1, nodes: [], services: [], cidrGroups: [], hostFirewall: false,
    identities: [{ id: 256, labels: labels('frontend') }, { id: 257, labels: labels('backend') }, { id: 258, labels: labels('db') }],
    workloads: [workload('frontend', 256, '10.0.0.1'), workload('backend', 257, '10.0.0.2'), workload('db', 258, '10.0.0.3')],
  };
  const selector = (app) => ({ localCluster: false, requirements: [{ key: 'k8s:app', operator: 'in', values: [app] }] });
  const document = {
    irVersion: 1, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'backend', revision: 1, mode: 'enforce',
    blocks: [{ spec: 0, tier: 'normal', priority: 0, direction: 'ingress', isolates: true, subject: { kind: 'endpoints', selector: selector('backend') },
      rules: [{ id: 1, index: 0, section: 'ingress', action: 'allow', peers: [{ kind: 'endpoints', selector: selector('frontend') }],
        ports: [{ ports: [{ kind: 'range', protocol: 'TCP', first: 8080, last: 8080 }] }] }] }],
  };
  const set = policy.createPolicySet([document]);
  const ask = (from, to) => policy.evaluate(set, facts, { source: { workload: 'pod/shop/' + from }, destination: { workload: 'pod/shop/' + to }, protocol: 'TCP', port: 8080 }).verdict;
  JSON.stringify({ allowed: ask('frontend', 'backend'), denied: ask('db', 'backend'), entries: policy.resolveNode(set, facts, 'n1').endpoints.map((endpoint) => endpoint.entries.length) });
`;

describe('the policy room in a browser', () => {
  it('needs nothing of Node and answers as it does elsewhere', async () => {
    const context = createContext({ TextEncoder, TextDecoder }); // what pages have; no process, Buffer or require
    runInContext(await bundle(), context);
    expect(JSON.parse(String(runInContext(QUESTION, context)))).toEqual({ allowed: 'allow', denied: 'deny', entries: expect.arrayContaining([expect.any(Number)]) });
  });
});
