export { postgresAuditLog } from './audit/audit-log.ts';
export { postgresClusters } from './clusters/cluster-repository.ts';
export { openDatabase, type DatabaseOptions } from './data-source.ts';
export { pageOf } from './page.ts';
export type { Session, TenantSession } from './session.ts';
export { constraintOf, isBrokenConnection, isRetryable, sqlStateOf, violatesUnique } from './sql-state.ts';
export { createUnitOfWork, inSystemTransaction, inTenantTransaction } from './transactions.ts';
export { postgresWakeUp, WAKE_CHANNEL } from './wake-up.ts';
