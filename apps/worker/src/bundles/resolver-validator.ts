import type { BundleValidator, CandidateInput, UnitOfWork } from '@palisade/control';
import { MAX_ENDPOINTS } from '@palisade/dataplane';
import { isDomainError } from '@palisade/errors';
import { createPolicySet, PolicyEngine, resolveNode, type ClusterFacts, type PolicySet, type ResolvedNode } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';

/** Nodes that are resolved whole: those with the most workloads, where a map overflows first. */
const NODES_RESOLVED = 16;
/** Entries of one endpoint's policy map, and of a node's address maps, that are loaded in reasonable time and memory. */
const MAX_ENTRIES = 262_144;
const MAX_ADDRESSES = 1_048_576;

export interface ClusterFactsReader {
  readonly facts: { read(clusterId: string): Promise<ClusterFacts> };
}

/**
 * Reads the candidate's policy back from the very bytes that would be signed, builds the evaluator from it, and resolves
 * it for the fullest nodes with the resolver that the nodes use: what a node could not read, resolve or hold in its maps
 * is refused here, before any node sees it.
 */
export class ResolverValidator implements BundleValidator {
  readonly #unitOfWork: UnitOfWork<ClusterFactsReader>;

  constructor(unitOfWork: UnitOfWork<ClusterFactsReader>) {
    this.#unitOfWork = unitOfWork;
  }

  async validate(context: TenantContext, clusterId: string, candidate: CandidateInput): Promise<readonly string[]> {
    const facts = await this.#unitOfWork.run(context, ({ facts: source }) => source.read(clusterId));
    try {
      const stored = JSON.parse(Buffer.from(candidate.policy).toString('utf8')) as PolicySet;
      const set = createPolicySet(stored.policies);
      new PolicyEngine(set, facts);
      return fullestNodes(facts).flatMap(({ name, workloads }) => [...tooManyWorkloads(name, workloads), ...overflows(resolveNode(set, facts, name, { policyRevision: candidate.policyRevision }))]);
    } catch (error) {
      if (isDomainError(error)) return [`The policy set of revision ${candidate.policyRevision} is refused: ${error.message}`];
      throw error;
    }
  }
}

function fullestNodes(facts: ClusterFacts): readonly { readonly name: string; readonly workloads: number }[] {
  const counts = new Map(facts.nodes.map((node) => [node.name, 0]));
  for (const workload of facts.workloads) counts.set(workload.node, (counts.get(workload.node) ?? 0) + 1);
  return [...counts].map(([name, workloads]) => ({ name, workloads })).sort((a, b) => b.workloads - a.workloads || (a.name < b.name ? -1 : 1)).slice(0, NODES_RESOLVED);
}

function tooManyWorkloads(name: string, workloads: number): string[] {
  return workloads <= MAX_ENDPOINTS ? [] : [`Node ${name} has ${workloads} endpoints; its maps hold ${MAX_ENDPOINTS}.`];
}

function overflows(node: ResolvedNode): string[] {
  const full = node.endpoints.filter((endpoint) => endpoint.entries.length > MAX_ENTRIES);
  return [
    ...full.map((endpoint) => `Endpoint ${endpoint.key} on node ${node.node} needs ${endpoint.entries.length} policy entries; its map holds ${MAX_ENTRIES}.`),
    ...(node.addresses.length > MAX_ADDRESSES ? [`Node ${node.node} needs ${node.addresses.length} addresses; its maps hold ${MAX_ADDRESSES}.`] : []),
  ];
}
