import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import { isUuid } from '../uuid.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { ApiTokenRepositories } from './api-token.ts';

/** Ends a token for good. Revoking one twice is no error. Throws `resource.not-found`. */
export class RevokeApiToken {
  readonly #unitOfWork: UnitOfWork<ApiTokenRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ApiTokenRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, id: string): Promise<void> {
    return this.#unitOfWork.run(context, async ({ apiTokens, audit }) => {
      const token = isUuid(id) ? await apiTokens.find(id) : undefined;
      if (token === undefined) throw new DomainError('resource.not-found', `There is no API token ${id}.`);
      if (!(await apiTokens.revoke(id))) return;
      await audit.append({
        action: 'api-token.revoked',
        target: { kind: 'api-token', id: token.id, name: token.name },
        summary: `Revoked API token ${token.name}.`,
      });
    });
  }
}
