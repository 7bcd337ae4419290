import { AuthenticateToken } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { rolesAllow, type TenantContext } from '@palisade/tenancy';
import type { RateLimits } from '../limits/rate-limits.ts';

/** Finds the name of the caller's own tenant. */
export type TenantName = (context: TenantContext) => Promise<string>;

export interface HubbleAccessPorts {
  readonly authenticate: AuthenticateToken;
  readonly limits: RateLimits;
  readonly tenantName: TenantName;
}

/** The two halves of `Basic …` (RFC 7617); undefined for anything else. */
function basicCredentials(header: string | undefined): { user: string; password: string } | undefined {
  const match = /^Basic ([A-Za-z0-9+/=]{1,1024})$/i.exec(header ?? '');
  const text = match === null ? '' : Buffer.from(match[1] ?? '', 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** One answer to every cause, as for tokens; in the words of who calls with the CLI. */
function refused(): DomainError {
  return new DomainError('auth.unauthenticated', 'Send basic auth with the tenant as user and a valid API token (pal_…) as password.');
}

/**
 * Who calls: basic auth with the tenant (name or id) as user and an API token as password, or the token as bearer.
 * @throws DomainError `auth.unauthenticated`, `auth.forbidden`, `request.rate-limited`
 */
export class HubbleAccess {
  readonly #ports: HubbleAccessPorts;

  constructor(ports: HubbleAccessPorts) {
    this.#ports = ports;
  }

  async admit(authorization: string | undefined, address: string): Promise<TenantContext> {
    const { limits } = this.#ports;
    limits.admitUnknown(address);
    try {
      const context = await this.#identify(authorization, address);
      limits.admit(context.tenantId);
      if (!rolesAllow(context.actor.roles, 'flows:read')) throw new DomainError('auth.forbidden', 'The roles of this token do not include flows:read.');
      return context;
    } catch (error) {
      if (!(error instanceof DomainError) || error.code !== 'auth.unauthenticated') throw error;
      limits.chargeUnknown(address);
      throw refused();
    }
  }

  async #identify(authorization: string | undefined, sourceAddress: string): Promise<TenantContext> {
    const basic = basicCredentials(authorization);
    const { tenantId, actor } = await this.#ports.authenticate.execute(basic === undefined ? authorization : `Bearer ${basic.password}`);
    const context = { tenantId, actor, sourceAddress };
    if (basic === undefined || basic.user.toLowerCase() === tenantId || basic.user === (await this.#ports.tenantName(context))) return context;
    throw refused();
  }
}
