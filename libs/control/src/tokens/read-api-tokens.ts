import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import { isUuid } from '../uuid.ts';
import type { ApiToken, ApiTokenRepositories } from './api-token.ts';

/** Reads tokens without their secrets, revoked and expired ones too. */
export class ReadApiTokens {
  readonly #unitOfWork: UnitOfWork<ApiTokenRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ApiTokenRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  list(context: TenantContext, page: PageRequest): Promise<Page<ApiToken>> {
    return this.#unitOfWork.run(context, ({ apiTokens }) => apiTokens.list(page));
  }

  /** Throws `resource.not-found`. */
  async get(context: TenantContext, id: string): Promise<ApiToken> {
    const token = isUuid(id) ? await this.#unitOfWork.run(context, ({ apiTokens }) => apiTokens.find(id)) : undefined;
    if (token === undefined) throw new DomainError('resource.not-found', `There is no API token ${id}.`);
    return token;
  }
}
