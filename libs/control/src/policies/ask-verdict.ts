import { createPolicySet, explain, PolicyEngine, type ClusterFacts, type Explanation, type FlowQuery } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { PolicyRepositories } from './policy.ts';

/** What the control plane knows of a cluster's identities now. */
export interface ClusterFactsSource {
  factsOf(cluster: { readonly id: string; readonly name: string; readonly hostFirewall: boolean }): Promise<ClusterFacts>;
}

export interface VerdictRepositories extends PolicyRepositories {
  readonly facts: ClusterFactsSource;
}

export interface AskVerdictInput {
  readonly clusterId: string;
  readonly flow: FlowQuery;
  /** The newest when absent. */
  readonly policyRevision?: number;
}

export interface VerdictAnswer {
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly explanation: Explanation;
}

/**
 * Says what policy decides on a flow and why, with the engine that the nodes use.
 * Throws `resource.not-found` for an unknown cluster, revision or workload, `request.invalid` for a malformed flow.
 */
export class AskVerdict {
  readonly #unitOfWork: UnitOfWork<VerdictRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<VerdictRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  async execute(context: TenantContext, input: AskVerdictInput): Promise<VerdictAnswer> {
    const { set, facts, policyRevision } = await this.#unitOfWork.run(context, async ({ clusters, policies, facts: source }) => {
      const cluster = await reachCluster(context, clusters, input.clusterId);
      const revision = input.policyRevision ?? cluster.policyRevision;
      const documents = await policies.documentsAt(cluster.id, revision);
      const known = await source.factsOf({ id: cluster.id, name: cluster.name, hostFirewall: cluster.settings.hostFirewall });
      return { set: createPolicySet(documents), facts: known, policyRevision: revision };
    });
    return { policyRevision, identityRevision: facts.identityRevision, explanation: explain(new PolicyEngine(set, facts), input.flow) };
  }
}
