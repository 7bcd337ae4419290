import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';

export interface Tenant {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
}

export interface TenantRepository {
  /** The tenant of the transaction. */
  current(): Promise<Tenant | undefined>;
}

export interface TenantRepositories {
  readonly tenants: TenantRepository;
}

/** Reads the caller's own tenant. */
export class ReadTenant {
  readonly #unitOfWork: UnitOfWork<TenantRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<TenantRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  async execute(context: TenantContext): Promise<Tenant> {
    const tenant = await this.#unitOfWork.run(context, ({ tenants }) => tenants.current());
    if (tenant === undefined) throw new DomainError('resource.not-found', 'The tenant is gone.');
    return tenant;
  }
}
