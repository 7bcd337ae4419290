import type { BundleValidator, CandidateInput, UnitOfWork } from '@palisade/control';
import { isDomainError } from '@palisade/errors';
import { createPolicySet, PolicyEngine, type ClusterFacts, type PolicySet } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';

export interface ClusterFactsReader {
  readonly facts: { read(clusterId: string): Promise<ClusterFacts> };
}

/**
 * Reads the candidate's policy back from the very bytes that would be signed and builds the engine of the nodes from it
 * and the cluster's facts: what a node could not read or resolve is refused here, before any node sees it.
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
      return [];
    } catch (error) {
      if (isDomainError(error)) return [`The policy set of revision ${candidate.policyRevision} is refused: ${error.message}`];
      throw error;
    }
  }
}
