import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { canonicalName, compileFqdnSelector, compileHttpMatch, createPolicySet, LookupTables, parseAddress, parsePrefix, prefixContains, PROTOCOL_NUMBER, resolveNode, type ClusterFacts, type Direction, type FlowQuery, type PolicySet, type ResolvedNode } from '@palisade/policy';
import { parsePolicies } from '@palisade/policy-language';
import { describe, expect, test } from 'vitest';
import type { CaseEnd, CaseFlow, ConformanceCase } from './case-file.ts';
import { clusterFacts, flowQuery } from './cluster-facts.ts';
import { readCaseFiles } from './run-cases.ts';

const shared = fileURLToPath(new URL('../../../shared/conformance/open', import.meta.url));
const own = fileURLToPath(new URL('../../libs/policy/corpus', import.meta.url));

/** Ends that cases name without an address get one here, so that they have a class. */
const STAND_INS: ClusterFacts['reserved'] = [
  { key: 'health', entity: 'health', network: 'default', addresses: ['100.64.99.1'] },
  { key: 'ingress', entity: 'ingress', network: 'default', addresses: ['100.64.99.2'] },
  { key: 'unmanaged', entity: 'unmanaged', network: 'default', addresses: ['100.64.99.3'] },
];
const ENTITY_ADDRESS: Readonly<Record<string, string>> = { health: '100.64.99.1', ingress: '100.64.99.2', unmanaged: '100.64.99.3', init: '100.64.99.4', 'remote-node': '100.64.99.5', 'kube-apiserver': '100.64.99.6', 'world-ipv6': '2a0f:ffff::77' };
const WORLD = ['198.18.77.7', '192.0.2.177', '233.252.0.9', '9.9.9.77'];

/** One case with everything that its flows name in the facts. */
function worldOf(one: ConformanceCase): { policies: PolicySet; facts: ClusterFacts; world: string } {
  const parsed = parsePolicies(one.policies.map((policy) => JSON.stringify(policy)).join('\n---\n'), { fromApiServer: true, legacyRequires: one.kind === 'cilium-legacy' });
  const facts = clusterFacts(one.cluster);
  const text = JSON.stringify([one.policies, one.cluster]);
  const prefixes = (text.match(/[0-9a-f.:]+\/\d+/g) ?? []).map(parsePrefix).filter((prefix) => prefix !== undefined && prefix.length > 0);
  const world = WORLD.find((address) => {
    const parsedAddress = parseAddress(address);
    return parsedAddress !== undefined && !prefixes.some((prefix) => prefix !== undefined && prefixContains(prefix, parsedAddress));
  });
  if (world === undefined) throw new Error(`${one.id} leaves no outside address.`);
  const apiservers = one.flows.flatMap(({ from, to }) => [from, to]).flatMap((end) => (typeof end !== 'string' && end.entity === 'kube-apiserver' && end.ip !== undefined ? [end.ip] : []));
  return {
    policies: createPolicySet(parsed.documents),
    world,
    facts: {
      ...facts,
      nodes: [...facts.nodes, { name: 'stand-in-remote', labels: {}, addresses: ['100.64.99.5'] }, { name: 'stand-in-apiserver', labels: {}, addresses: ['100.64.99.6'] }],
      workloads: [...facts.workloads, { key: 'stand-in/init', namespace: 'stand-in', name: 'init', identity: 5, network: 'default', addresses: ['100.64.99.4'], node: 'stand-in-remote' }],
      reserved: [...(STAND_INS ?? []), { key: 'api', entity: 'kube-apiserver', network: 'default', addresses: ['100.64.99.6', ...apiservers] }],
    },
  };
}

interface Place {
  readonly address: string;
  readonly names: readonly string[];
  /** Key of the endpoint that enforces, and its node. */
  readonly endpoint?: string;
  readonly node?: string;
}

class Cases {
  private readonly nodes = new Map<string, { tables: LookupTables; resolved: ResolvedNode }>();
  private readonly policies: PolicySet;
  private readonly facts: ClusterFacts;
  private readonly world: string;
  /** Workloads whose address others claim too. */
  private readonly shared: ReadonlySet<string>;

  constructor(one: ConformanceCase) {
    ({ policies: this.policies, facts: this.facts, world: this.world } = worldOf(one));
    const pods = this.facts.workloads.filter(({ hostNetwork }) => hostNetwork !== true);
    const holders = Map.groupBy(pods, ({ addresses }) => addresses[0]);
    this.shared = new Set([...holders.values()].flatMap((held) => (held.length > 1 ? held.map(({ key }) => key) : [])));
  }

  /** Two workloads of the case claim one address: tables by address cannot tell them apart (one case of the shared corpus). */
  isAmbiguous({ from, to }: CaseFlow): boolean {
    return [from, to].some((end) => typeof end === 'string' && this.shared.has(end));
  }

  /** The verdict of one end by its node's tables. */
  verdict(flow: CaseFlow, direction: Direction): string {
    const query = flowQuery(flow);
    const source = this.place(flow.from, flow.to);
    const destination = this.place(flow.to, flow.from);
    const [subject, peer] = direction === 'egress' ? [source, destination] : [destination, source];
    if (subject.endpoint === undefined || subject.node === undefined || subject.address === peer.address) return 'allow';
    const { tables, resolved } = this.node(subject.node);
    const peerClass = tables.classOfLearned('default', peer.address, peer.names) ?? -1;
    const entry = tables.lookup(subject.endpoint, { direction, peerClass, protocol: PROTOCOL_NUMBER[query.protocol], port: query.port ?? query.icmpType ?? 0 });
    if (entry === undefined) return 'allow';
    return entry.verdict === 'l7' ? contentVerdict(resolved.l7Rules[entry.l7 ?? -1], query) : entry.verdict;
  }

  private node(name: string): { tables: LookupTables; resolved: ResolvedNode } {
    let found = this.nodes.get(name);
    if (found === undefined) {
      const resolved = resolveNode(this.policies, this.facts, name);
      found = { resolved, tables: new LookupTables(resolved) };
      this.nodes.set(name, found);
    }
    return found;
  }

  private place(end: CaseEnd, other: CaseEnd): Place {
    if (typeof end === 'string') {
      const workload = this.facts.workloads.find(({ key }) => key === end);
      if (workload === undefined) throw new Error(`There is no workload ${end}.`);
      if (workload.hostNetwork === true) return this.host(workload.node);
      return { address: workload.addresses[0] ?? '', names: [], endpoint: end, node: workload.node };
    }
    if (end.node !== undefined) return this.host(end.node);
    if (end.entity === 'host') return this.host(typeof other === 'string' ? (this.facts.workloads.find(({ key }) => key === other)?.node ?? '') : '');
    // The entity as such is no policy subject, its address is that of a stand-in.
    if (end.entity !== undefined && end.ip === undefined) return { address: ENTITY_ADDRESS[end.entity] ?? this.world, names: [] };
    return { address: end.ip ?? '', names: end.fqdn === undefined ? [] : [end.fqdn] };
  }

  private host(node: string): Place {
    return { address: this.facts.nodes.find(({ name }) => name === node)?.addresses[0] ?? '', names: [], endpoint: `node/${node}`, node };
  }
}

/** What the content rules make of the request; a bare connection passes to them. */
function contentVerdict(rules: ResolvedNode['l7Rules'][number] | undefined, { http, dns }: FlowQuery): string {
  if (http === undefined && dns === undefined) return 'allow';
  const passes =
    (http !== undefined && (rules?.http ?? []).some((rule) => compileHttpMatch(rule)(http))) ||
    (dns !== undefined && (rules?.dns ?? []).some((selector) => compileFqdnSelector(selector)(canonicalName(dns.query))));
  return passes ? 'allow' : 'deny';
}

describe.each([['own', own], ['shared', shared]].filter(([, folder]) => existsSync(folder ?? '')))('resolved tables on the %s corpus', (_, folder) => {
  test('give every flow with known verdicts per end the same ones', { timeout: 120_000 }, () => {
    const failures: string[] = [];
    let compared = 0;
    for (const { content } of readCaseFiles(folder ?? '')) {
      for (const one of content.cases ?? []) {
        if (one.features.includes('contested')) continue;
        const cases = new Cases(one);
        one.flows.forEach((flow, i) => {
          if (cases.isAmbiguous(flow)) return;
          const got = { egress: cases.verdict(flow, 'egress'), ingress: cases.verdict(flow, 'ingress') };
          const both = Object.values(got);
          const whole = both.includes('deny') ? 'deny' : both.includes('audit') ? 'audit' : 'allow';
          compared++;
          if (whole !== (flow.expect ?? whole) || got.egress !== (flow.egress ?? got.egress) || got.ingress !== (flow.ingress ?? got.ingress)) {
            failures.push(`${one.id} #${i}: ${JSON.stringify(flow)} got ${JSON.stringify(got)}`);
          }
        });
      }
    }
    expect(failures.slice(0, 10)).toEqual([]);
    expect(failures).toHaveLength(0);
    expect(compared).toBeGreaterThan(300);
  });
});
