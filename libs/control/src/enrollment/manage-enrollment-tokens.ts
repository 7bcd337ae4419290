import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { EnrollmentRepositories, EnrollmentToken } from './enrollment.ts';
import { mintEnrollmentToken } from './enrollment-token.ts';

export interface CreateEnrollmentTokenInput {
  readonly clusterId: string;
  readonly name: string;
  /** 1 to 100,000; 1 when absent. */
  readonly maxUses?: number;
  /** 60 to 2,592,000 (30 days); one hour when absent. */
  readonly lifetimeSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly requiredAttestation?: 'aws-iid' | 'azure-imds' | 'k8s-sat';
}

/** Creates, lists and revokes the tokens that nodes enroll with (trust-and-fleet §1). */
export class ManageEnrollmentTokens {
  readonly #unitOfWork: UnitOfWork<EnrollmentRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  /** The answer holds the token's text, once. */
  async create(context: TenantContext, input: CreateEnrollmentTokenInput): Promise<{ readonly token: EnrollmentToken; readonly text: string }> {
    const minted = mintEnrollmentToken();
    const token = await this.#unitOfWork.run(context, async ({ clusters, enrollmentTokens, audit }) => {
      const cluster = await reachCluster(context, clusters, input.clusterId);
      const created = await enrollmentTokens.insert({
        clusterId: cluster.id,
        publicId: minted.publicId,
        secretHash: minted.secretHash,
        name: input.name,
        maxUses: input.maxUses ?? 1,
        lifetimeSeconds: input.lifetimeSeconds ?? 3600,
        labels: input.labels ?? {},
        requiredAttestation: input.requiredAttestation ?? null,
        createdBy: context.actor.id,
      });
      await audit.append({
        action: 'enrollment-token.created',
        target: { kind: 'enrollment-token', id: created.id, name: created.name },
        summary: `Created enrollment token ${created.name} for cluster ${cluster.name}, ${created.maxUses} uses.`,
        details: { clusterId: cluster.id, maxUses: created.maxUses, expiresAt: created.expiresAt.toISOString() },
      });
      return created;
    });
    return { token, text: minted.text };
  }

  list(context: TenantContext, clusterId: string, page: PageRequest): Promise<Page<EnrollmentToken>> {
    return this.#unitOfWork.run(context, async ({ clusters, enrollmentTokens }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      return enrollmentTokens.list(cluster.id, page);
    });
  }

  /** Nodes it enrolled stay; revoking twice is revoking once. @throws DomainError `resource.not-found` */
  revoke(context: TenantContext, clusterId: string, id: string): Promise<EnrollmentToken> {
    return this.#unitOfWork.run(context, async ({ clusters, enrollmentTokens, audit }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      const revoked = await enrollmentTokens.revoke(cluster.id, id);
      if (revoked === undefined) throw new DomainError('resource.not-found', `There is no enrollment token ${id}.`);
      await audit.append({
        action: 'enrollment-token.revoked',
        target: { kind: 'enrollment-token', id: revoked.id, name: revoked.name },
        summary: `Revoked enrollment token ${revoked.name} of cluster ${cluster.name}.`,
      });
      return revoked;
    });
  }
}
