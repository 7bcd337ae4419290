import type { TenantContext } from '@palisade/tenancy';

/**
 * The one way of a use case to the database. `work` runs in one transaction that sees only the tenant of `context`;
 * it commits when the promise fulfils and rolls back when it rejects. Serialization failures and deadlocks run `work`
 * again, a bounded number of times: it must have no effect besides the repositories.
 *
 * @typeParam R the repositories of a capability, declared by that capability.
 */
export interface UnitOfWork<R> {
  run<T>(context: TenantContext, work: (repositories: R) => Promise<T>): Promise<T>;
}
