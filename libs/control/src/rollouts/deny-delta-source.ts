import type { DenyDelta } from '@palisade/rollout';
import type { TenantContext } from '@palisade/tenancy';

/** Compares what updated nodes deny with their own baseline and with nodes not yet updated. */
export interface DenyDeltaSource {
  measure(context: TenantContext, rolloutId: string): Promise<DenyDelta>;
}
