import type { Role, Scope, TenantId } from '@palisade/tenancy';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Page, PageRequest } from '../page.ts';

/** A bearer token of a machine. Its secret is shown once and never stored. */
export interface ApiToken {
  readonly id: string;
  /** The part of the token's text that is not secret. */
  readonly publicId: string;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
  /** To the minute. */
  readonly lastUsedAt?: Date;
}

export interface NewApiToken {
  readonly publicId: string;
  readonly secretHash: Buffer;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly createdBy: string;
  readonly expiresAt?: Date;
}

export interface ApiTokenRepository {
  insert(token: NewApiToken): Promise<ApiToken>;
  find(id: string): Promise<ApiToken | undefined>;
  list(page: PageRequest): Promise<Page<ApiToken>>;
  /** False when it was revoked before. */
  revoke(id: string): Promise<boolean>;
}

export interface ApiTokenRepositories {
  readonly apiTokens: ApiTokenRepository;
  readonly audit: AuditLog;
}

/** What authentication needs to know, found before the tenant is known. */
export interface TokenCredentials {
  readonly tenantId: TenantId;
  readonly id: string;
  readonly name: string;
  readonly secretHash: Buffer;
  readonly roles: readonly Role[];
  readonly scope: Scope;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
  readonly lastUsedAt?: Date;
  readonly tenantSuspendedAt?: Date;
}

/** The one lookup that crosses tenants: by the public id of a presented token. */
export interface TokenDirectory {
  find(publicId: string): Promise<TokenCredentials | undefined>;
  /** Records the use. Called at most once a minute and token by one process. */
  touch(tenantId: TenantId, id: string): Promise<void>;
}
