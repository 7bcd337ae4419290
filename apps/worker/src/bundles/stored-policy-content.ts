import { canonicalJson, type JsonValue } from '@palisade/bundle';
import type { PolicyContentSource, PolicyRepository, UnitOfWork } from '@palisade/control';
import { createPolicySet } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';

/** The canonical policy set of a revision, from the stored documents. */
export class StoredPolicyContent implements PolicyContentSource {
  readonly #unitOfWork: UnitOfWork<{ readonly policies: PolicyRepository }>;

  constructor(unitOfWork: UnitOfWork<{ readonly policies: PolicyRepository }>) {
    this.#unitOfWork = unitOfWork;
  }

  async read(context: TenantContext, clusterId: string, revision: number): Promise<Uint8Array> {
    const documents = await this.#unitOfWork.run(context, ({ policies }) => policies.documentsAt(clusterId, revision));
    return canonicalJson(createPolicySet(documents) as unknown as JsonValue);
  }
}
