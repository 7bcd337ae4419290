import type { DataSource } from 'typeorm';
import { inSystemTransaction } from '../transactions.ts';

export interface TenantWork {
  readonly tenantId: string;
  readonly id: string;
}

/** Finds work across tenants through the narrow functions; ids only. */
export interface WorkFinder {
  /** Takes from the outbox, a turn of every tenant before the second of any. */
  takeOutbox(atMost: number): Promise<readonly TenantWork[]>;
  /** Every rollout that is not settled: what a lost wake-up would leave lying. */
  rolloutsAtWork(): Promise<readonly TenantWork[]>;
  /** Clusters in which an endpoint report waits. */
  clustersWithReports(): Promise<readonly TenantWork[]>;
  /** Every tenant that is not suspended. */
  tenants(): Promise<readonly string[]>;
}

export function postgresWorkFinder(source: DataSource): WorkFinder {
  const read = (sql: string, values: readonly unknown[] = []): Promise<TenantWork[]> =>
    inSystemTransaction(source, async (session) => (await session.query<{ tenant_id: string; id: string }>(sql, values)).map((row) => ({ tenantId: row.tenant_id, id: row.id })));
  return {
    takeOutbox: (atMost) => read('SELECT tenant_id, subject_id AS id FROM palisade.take_outbox($1)', [atMost]),
    rolloutsAtWork: () => read('SELECT tenant_id, rollout_id AS id FROM palisade.rollouts_at_work()'),
    clustersWithReports: () => read('SELECT tenant_id, cluster_id AS id FROM palisade.clusters_with_new_reports()'),
    tenants: async () => (await read('SELECT tenant_id, tenant_id AS id FROM palisade.list_tenants() WHERE suspended_at IS NULL')).map((row) => row.tenantId),
  };
}
