import type { Role } from './role.ts';
import { WHOLE_TENANT, type Scope } from './scope.ts';
import type { TenantId } from './tenant-id.ts';

/** Who does something. `id` is stable and goes to the audit log; `name` is for people. */
export interface Actor {
  readonly kind: 'person' | 'token' | 'agent' | 'system';
  readonly id: string;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly scope: Scope;
}

/** The first argument of every use case: whose data, on whose behalf, from where. A plain value. */
export interface TenantContext {
  readonly tenantId: TenantId;
  readonly actor: Actor;
  /** Correlates the response, the logs and the audit events. */
  readonly requestId?: string;
  /** Address the request came from, without port. */
  readonly sourceAddress?: string;
  /** SHA-256 of the caller's idempotency key: marked as applied in the transaction that makes the change. */
  readonly idempotencyKeyHash?: Uint8Array;
}

/** The context of work that no person asked for. `component` is the process and part, for example `worker/rollout`. */
export function systemContext(tenantId: TenantId, component: string): TenantContext {
  return { tenantId, actor: { kind: 'system', id: component, name: component, roles: [], scope: WHOLE_TENANT } };
}
