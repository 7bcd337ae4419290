import { DomainError } from '@palisade/errors';
import { scopeContains, type Role, type Scope, type TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { ApiToken, ApiTokenRepositories } from './api-token.ts';
import { mintToken } from './token-text.ts';

export interface CreateApiTokenInput {
  readonly name: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly expiresAt?: Date;
}

/** Creates a token; the answer is the only place its text ever appears. Throws `auth.forbidden` for more than the creator's own scope. */
export class CreateApiToken {
  readonly #unitOfWork: UnitOfWork<ApiTokenRepositories>;
  readonly #now: () => Date;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ApiTokenRepositories>; readonly now: () => Date }) {
    this.#unitOfWork = ports.unitOfWork;
    this.#now = ports.now;
  }

  async execute(context: TenantContext, input: CreateApiTokenInput): Promise<{ readonly token: ApiToken; readonly text: string }> {
    if (!scopeContains(context.actor.scope, input.scope)) {
      throw new DomainError('auth.forbidden', 'A token cannot reach further than its creator: leave out clusters and namespaces that are not your own.', { pointer: '/clusters' });
    }
    if (input.expiresAt !== undefined && input.expiresAt <= this.#now()) {
      throw new DomainError('request.invalid', 'The token would expire in the past: choose a later time.', { pointer: '/expiresAt' });
    }
    const { publicId, secretHash, text } = mintToken();
    const token = await this.#unitOfWork.run(context, async ({ apiTokens, audit }) => {
      const created = await apiTokens.insert({ ...input, publicId, secretHash, createdBy: context.actor.id });
      await audit.append({
        action: 'api-token.created',
        target: { kind: 'api-token', id: created.id, name: created.name },
        summary: `Created API token ${created.name} with the roles ${created.roles.join(', ')}.`,
        details: { publicId, expires: input.expiresAt?.toISOString() ?? 'never' },
      });
      return created;
    });
    return { token, text };
  }
}
