import { timingSafeEqual } from 'node:crypto';
import { DomainError } from '@palisade/errors';
import type { Actor, TenantContext, TenantId } from '@palisade/tenancy';
import type { TokenCredentials, TokenDirectory } from '../tokens/api-token.ts';
import { parseToken } from '../tokens/token-text.ts';

const TOUCH_EVERY_MS = 60_000;
/** Compared with when there is no such token, so that both cases take the same time. */
const NO_HASH = Buffer.alloc(32);

export interface Authentication {
  readonly tenantId: TenantId;
  readonly actor: Actor;
}

/** Where a request came from, for the log and the audit event of a refusal. */
export type RequestOrigin = Pick<TenantContext, 'requestId' | 'sourceAddress'>;

/** @param credentials present when the token is known; its tenant is told of the attempt */
export type OnRefused = (reason: string, credentials: TokenCredentials | undefined, origin: RequestOrigin) => void;

/**
 * Turns a bearer token into an actor. One error for every cause (`auth.unauthenticated`): whoever presents a wrong token
 * learns nothing from the answer. The cause goes to `onRefused` for the log.
 */
export class AuthenticateToken {
  readonly #directory: TokenDirectory;
  readonly #now: () => Date;
  readonly #onRefused: OnRefused;

  constructor(ports: {
    readonly directory: TokenDirectory;
    readonly now: () => Date;
    readonly onRefused?: OnRefused;
  }) {
    this.#directory = ports.directory;
    this.#now = ports.now;
    this.#onRefused = ports.onRefused ?? (() => undefined);
  }

  /** @param header value of `Authorization` */
  async execute(header: string | undefined, origin: RequestOrigin = {}): Promise<Authentication> {
    const presented = parseToken(/^bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '');
    const credentials = presented && (await this.#directory.find(presented.publicId));
    const same = timingSafeEqual(presented?.secretHash ?? NO_HASH, credentials?.secretHash ?? NO_HASH);
    const refusal = this.#refusal(presented !== undefined, same, credentials);
    if (refusal !== undefined || credentials === undefined) {
      this.#onRefused(refusal ?? 'unknown token', credentials, origin);
      throw new DomainError('auth.unauthenticated', 'Send a valid token in the header Authorization: Bearer pal_….');
    }
    await this.#touch(credentials);
    const { tenantId, id, name, roles, scope } = credentials;
    return { tenantId, actor: { kind: 'token', id, name, roles, scope } };
  }

  #refusal(wellFormed: boolean, same: boolean, credentials: TokenCredentials | undefined): string | undefined {
    if (!wellFormed) return 'no token';
    if (credentials === undefined) return 'unknown token';
    if (!same) return 'wrong secret';
    if (credentials.revokedAt !== undefined) return 'revoked token';
    if (credentials.expiresAt !== undefined && credentials.expiresAt <= this.#now()) return 'expired token';
    if (credentials.tenantSuspendedAt !== undefined) return 'suspended tenant';
    return undefined;
  }

  async #touch({ tenantId, id, lastUsedAt }: TokenCredentials): Promise<void> {
    if (lastUsedAt !== undefined && this.#now().getTime() - lastUsedAt.getTime() < TOUCH_EVERY_MS) return;
    await this.#directory.touch(tenantId, id);
  }
}
