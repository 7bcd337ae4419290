import { setImmediate as turn } from 'node:timers/promises';
import type { BundleValidator, CandidateInput, FlowReader, NodeCapacity, PolicyCandidate, UnitOfWork, Validation } from '@palisade/control';
import { MAX_ENDPOINTS } from '@palisade/dataplane';
import { isDomainError } from '@palisade/errors';
import { checkResolution, decodePolicySet, PolicyEngine, resolveNode, type ClusterFacts, type PolicySet, type ResolvedNode } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';
import type { ProgramCheck } from './program-check.ts';
import { replayFlows } from './replay-flows.ts';

/** Nodes that are resolved whole: the fullest, and such that every identity occurs on one of them, as far as this many reach. */
const NODES_RESOLVED = 32;
const FULLEST = 8;
/** Tuples compared for one node and policy set. */
const TUPLES = 400;
/** Entries of one endpoint's policy map, and of a node's address maps, that are loaded in reasonable time and memory. */
const MAX_ENTRIES = 262_144;
const MAX_ADDRESSES = 1_048_576;

export interface ClusterFactsReader {
  readonly facts: { read(clusterId: string): Promise<ClusterFacts> };
}

interface Found {
  readonly problems: string[];
  readonly differences: string[];
  readonly capacity: NodeCapacity[];
  tuples: number;
}

/**
 * VALIDATING (trust-and-fleet §3), before any node sees anything: loads the programs in a kernel where there is one, reads
 * the policies back from the very bytes that would be signed, resolves them with the resolver that nodes use, compares the
 * result with the evaluator, computes what the maps would hold, and replays recorded flows.
 */
export class CandidateValidator implements BundleValidator {
  readonly #ports: CandidateValidatorPorts;

  constructor(ports: CandidateValidatorPorts) {
    this.#ports = ports;
  }

  async validate(context: TenantContext, clusterId: string, candidate: CandidateInput): Promise<Validation> {
    const facts = await this.#ports.unitOfWork.run(context, ({ facts: source }) => source.read(clusterId));
    const programs = await this.#ports.programs.check(candidate.programs);
    const found: Found = { problems: [...programs.problems], differences: [], capacity: [], tuples: 0 };
    const nodes = chooseNodes(facts);
    const live = readPolicies(candidate.policy, facts, found);
    const shadow = candidate.shadow && readPolicies(candidate.shadow, facts, found);
    if (live !== undefined) await judge(live, candidate.policy.revision, 'live', facts, nodes, found);
    if (shadow !== undefined) await judge(shadow, candidate.shadow!.revision, 'all', facts, nodes, found);
    const replay = live === undefined ? ({ outcome: 'unavailable', why: 'The policy set is refused.' } as const) : await replayFlows(this.#ports.flows, context, clusterId, live, facts, this.#ports.now().getTime());
    const fullest = [...found.capacity].sort((a, b) => b.policyEntries - a.policyEntries || b.endpoints - a.endpoints).slice(0, 5);
    return {
      problems: found.problems,
      report: {
        programs: { note: programs.note, objects: programs.objects },
        evaluator: { nodes: nodes.length, tuples: found.tuples, differences: found.differences.slice(0, 20) },
        capacity: { clusterNodes: facts.nodes.length, checkedNodes: nodes.length, limits: { endpoints: MAX_ENDPOINTS, policyEntries: MAX_ENTRIES, addresses: MAX_ADDRESSES }, fullest },
        replay,
      },
    };
  }
}

export interface CandidateValidatorPorts {
  readonly unitOfWork: UnitOfWork<ClusterFactsReader>;
  readonly programs: ProgramCheck;
  readonly flows: FlowReader;
  readonly now: () => Date;
}

function readPolicies({ revision, content }: PolicyCandidate, facts: ClusterFacts, found: Found): PolicySet | undefined {
  try {
    const set = decodePolicySet(JSON.parse(Buffer.from(content).toString('utf8')));
    new PolicyEngine(set, facts);
    return set;
  } catch (error) {
    if (!isDomainError(error)) throw error;
    found.problems.push(`The policy set of revision ${revision} is refused: ${error.message}`);
    return undefined;
  }
}

async function judge(policies: PolicySet, revision: number, mode: 'live' | 'all', facts: ClusterFacts, nodes: readonly string[], found: Found): Promise<void> {
  for (const [index, name] of nodes.entries()) {
    await turn(); // others of this worker get their turn between two nodes
    let node: ResolvedNode;
    try {
      node = resolveNode(policies, facts, name, { policyRevision: revision, policies: mode });
    } catch (error) {
      if (!isDomainError(error)) throw error;
      found.problems.push(`Revision ${revision} cannot be resolved for node ${name}: ${error.message}`);
      continue;
    }
    found.problems.push(...overflows(node));
    found.capacity.push({ node: name, endpoints: node.endpoints.length, policyEntries: Math.max(0, ...node.endpoints.map(({ entries }) => entries.length)), addresses: node.addresses.length });
    const { tuples, differences } = checkResolution(policies, facts, node, { tuples: TUPLES, seed: index + 1, policies: mode });
    found.tuples += tuples;
    for (const difference of differences) {
      const sentence = `On node ${name} ${difference.endpoint} ${difference.direction} ${difference.peer} ${difference.protocol}/${difference.port}: the evaluator says ${difference.evaluated}, the tables ${difference.resolved}.`;
      found.differences.push(sentence);
      found.problems.push(sentence);
    }
  }
}

/** The nodes with the most workloads, then those that bring an identity that none before has: its policy map is of its own. */
function chooseNodes(facts: ClusterFacts): readonly string[] {
  const held = new Map(facts.nodes.map((node) => [node.name, new Map<number, number>()]));
  for (const { node, identity } of facts.workloads) {
    const identities = held.get(node) ?? new Map<number, number>();
    held.set(node, identities.set(identity, (identities.get(identity) ?? 0) + 1));
  }
  const size = (name: string) => [...held.get(name)!.values()].reduce((sum, count) => sum + count, 0);
  const byFullness = [...held.keys()].map((name) => ({ name, workloads: size(name) })).sort((a, b) => b.workloads - a.workloads || (a.name < b.name ? -1 : 1));
  const chosen = byFullness.slice(0, FULLEST).map(({ name }) => name);
  const seen = new Set(chosen.flatMap((name) => [...held.get(name)!.keys()]));
  for (const { name } of byFullness.slice(FULLEST)) {
    if (chosen.length === NODES_RESOLVED) break;
    const fresh = [...held.get(name)!.keys()].filter((identity) => !seen.has(identity));
    if (fresh.length === 0) continue;
    chosen.push(name);
    for (const identity of fresh) seen.add(identity);
  }
  return chosen;
}

function overflows(node: ResolvedNode): string[] {
  const full = node.endpoints.filter((endpoint) => endpoint.entries.length > MAX_ENTRIES);
  return [
    ...(node.endpoints.length > MAX_ENDPOINTS ? [`Node ${node.node} has ${node.endpoints.length} endpoints; its maps hold ${MAX_ENDPOINTS}.`] : []),
    ...full.map((endpoint) => `Endpoint ${endpoint.key} on node ${node.node} needs ${endpoint.entries.length} policy entries; its map holds ${MAX_ENTRIES}.`),
    ...(node.addresses.length > MAX_ADDRESSES ? [`Node ${node.node} needs ${node.addresses.length} addresses; its maps hold ${MAX_ADDRESSES}.`] : []),
  ];
}
