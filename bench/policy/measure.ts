/**
 * Measures one size in a process of its own, so that memory is that of one resolver and the first resolve is a cold one.
 * Arguments: share of the whole size, samples per kind of change, every how many-th sample is verified. Prints one JSON line.
 */

import { PolicyEngine, PolicyResolver, createPolicySet, policyKey, type ClusterFacts, type PolicyDocument } from '@palisade/policy';
import { ClusterGenerator } from './cluster-generator.ts';

export interface Measurement {
  readonly identities: number;
  readonly policies: number;
  readonly entries: number;
  readonly classes: number;
  readonly resolve_full_s: number;
  readonly resolve_full_cpu_s: number;
  readonly resolve_rss_mb: number;
  readonly policy_update_ms_p50: number;
  readonly policy_update_ms_p99: number;
  readonly identity_update_ms_p50: number;
  readonly identity_update_ms_p99: number;
  readonly verdict_us: number;
  readonly verdict_us_p99: number;
  readonly verified: number;
  readonly digest_mismatches: number;
}

const NODE = 'measured';
const SEED = 20261122;
const LOCAL_ENDPOINTS = 100;

function measure(share: number, samples: number, verifyEvery: number): Measurement {
  const size = { identities: 10_000 * share, policies: 1000 * share, localEndpoints: LOCAL_ENDPOINTS };
  const generator = new ClusterGenerator(size, SEED);
  const facts = generator.facts(NODE);
  const policies = generator.policies();

  const cpu = process.cpuUsage();
  const started = performance.now();
  const resolver = new PolicyResolver(policies, facts, NODE);
  const resolved = resolver.resolved();
  const resolveMs = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const rss = process.memoryUsage.rss();

  const changes = new Changes(generator, resolver, facts, policies.policies);
  const policyMs: number[] = [];
  const identityMs: number[] = [];
  let verified = 0;
  let mismatches = 0;
  for (let i = 0; i < samples; i++) {
    policyMs.push(changes.policy());
    identityMs.push(changes.identity());
    if ((i + 1) % verifyEvery !== 0) continue;
    verified++;
    if (!changes.matchesFullResolve()) mismatches++;
  }
  const verdicts = verdictTimes(new PolicyEngine(policies, facts), facts, generator);
  return {
    identities: size.identities,
    policies: size.policies,
    entries: resolved.endpoints.reduce((sum, { entries }) => sum + entries.length, 0),
    classes: new Set(resolved.addresses.map(({ peerClass }) => peerClass)).size,
    resolve_full_s: round(resolveMs / 1000),
    resolve_full_cpu_s: round((used.user + used.system) / 1e6),
    resolve_rss_mb: round(rss / 1e6),
    policy_update_ms_p50: percentile(policyMs, 0.5),
    policy_update_ms_p99: percentile(policyMs, 0.99),
    identity_update_ms_p50: percentile(identityMs, 0.5),
    identity_update_ms_p99: percentile(identityMs, 0.99),
    verdict_us: percentile(verdicts, 0.5),
    verdict_us_p99: percentile(verdicts, 0.99),
    verified,
    digest_mismatches: mismatches,
  };
}

/** Changes drawn uniformly, timed until the new state is there as a whole, and the model they must lead to. */
class Changes {
  private readonly generator: ClusterGenerator;
  private readonly resolver: PolicyResolver;
  private readonly documents: Map<string, PolicyDocument>;
  private facts: ClusterFacts;

  constructor(generator: ClusterGenerator, resolver: PolicyResolver, facts: ClusterFacts, documents: readonly PolicyDocument[]) {
    this.generator = generator;
    this.resolver = resolver;
    this.facts = facts;
    this.documents = new Map(documents.map((document) => [policyKey(document), document]));
  }

  policy(): number {
    const policy = this.generator.policy(this.generator.below(this.generator.size.policies));
    this.documents.set(policyKey(policy), policy);
    return timed(() => {
      this.resolver.updatePolicy(policy);
      this.resolver.resolved();
    });
  }

  identity(): number {
    const at = this.generator.below(this.generator.size.identities);
    const identity = this.generator.identity(1000 + at);
    const { identityRevision, identities } = this.facts;
    this.facts = { ...this.facts, identityRevision: identityRevision + 1, identities: identities.with(at, identity) };
    const none = { upserted: [], removed: [] };
    const increment = { previousRevision: identityRevision, identityRevision: identityRevision + 1, identities: { upserted: [identity], removed: [] }, workloads: none, nodes: none, services: none, cidrGroups: none };
    return timed(() => {
      this.resolver.updateFacts(increment);
      this.resolver.resolved();
    });
  }

  matchesFullResolve(): boolean {
    const full = new PolicyResolver(createPolicySet([...this.documents.values()]), this.facts, NODE).resolved();
    return full.digest === this.resolver.resolved().digest;
  }
}

/** Microseconds per query, each the mean of a batch of 100 random pairs and ports, after one warming batch per pair. */
function verdictTimes(engine: PolicyEngine, facts: ClusterFacts, generator: ClusterGenerator): number[] {
  const times: number[] = [];
  const end = (): { workload: string } => ({ workload: facts.workloads[generator.below(facts.workloads.length)]?.key ?? '' });
  for (let batch = 0; batch < 300; batch++) {
    const flows = Array.from({ length: 100 }, () => ({ source: end(), destination: end(), protocol: 'TCP' as const, port: [80, 443, 5432, 8080][generator.below(4)] ?? 80 }));
    for (const flow of flows) engine.verdict(flow);
    times.push((timed(() => flows.forEach((flow) => engine.verdict(flow))) * 1000) / flows.length);
  }
  return times;
}

function timed(action: () => void): number {
  const started = performance.now();
  action();
  return performance.now() - started;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

const [share = '1', samples = '200', verifyEvery = '1'] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(measure(Number(share), Number(samples), Number(verifyEvery)))}\n`);
