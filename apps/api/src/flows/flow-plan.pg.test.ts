import { randomUUID } from 'node:crypto';
import type { FlowPosition } from '@palisade/control';
import { columnsOf, EVERY_FLOW, type FlowRecord } from '@palisade/flow';
import { PostgresFlowPlans, postgresFlowReaders, PostgresFlowSink } from '@palisade/flow-store';
import { openDatabase } from '@palisade/store';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { setFlowPlan } from '../bootstrap/flow-plan.ts';

const HOUR_US = 3_600_000_000;
const nowUs = Date.now() * 1000;
let database: TestDatabase;
let owner: DataSource;
let ingest: pg.Pool;
let api: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  owner = await openDatabase({ url: database.ownerUrl, applicationName: 'test', poolSize: 1 });
  ingest = new pg.Pool({ connectionString: database.ingestUrl, max: 2 });
  api = new pg.Pool({ connectionString: database.apiUrl, max: 2 });
  await ingest.query('SELECT palisade.flow_ensure_partitions(current_date - 3, current_date)');
});
afterAll(async () => {
  await api.end();
  await ingest.end();
  await owner.destroy();
  await database.drop();
});

async function newTenant(): Promise<TenantContext> {
  const { rows } = await withClient(database.adminUrl, (client) => client.query<{ tenant_id: string }>('INSERT INTO palisade.tenants (name) VALUES ($1) RETURNING tenant_id', [randomUUID()]));
  return systemContext(parseTenantId(rows[0]?.tenant_id ?? ''), 'test');
}

/** Flows and answers seen 1, 30 and 60 hours ago. */
async function storeThreeDays({ tenantId }: TenantContext): Promise<void> {
  const flows = [1, 30, 60].map((hours): FlowRecord => ({
    event: 'dns', source: { address: '10.0.0.1', port: 1, identity: 1, labels: [] }, destination: { address: '10.0.0.2', port: 53, identity: 2, labels: [] }, protocol: 17, direction: 'egress', node: 'n',
    verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: hours, replyPackets: 0, replyBytes: 0, firstSeenUs: nowUs - hours * HOUR_US, lastSeenUs: nowUs - hours * HOUR_US, tcpFlags: 0,
    generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1, dns: { query: `h${hours}.example.com`, addresses: [], rcode: 0 },
  }));
  await new PostgresFlowSink(ingest).append([{
    sender: { tenantId, clusterId: randomUUID(), nodeId: randomUUID() },
    batch: { bootId: randomUUID(), seq: 1, windowStartUs: nowUs - 60 * HOUR_US, windowEndUs: nowUs, account: { seen: 3, exported: 3, sampled: 0, dropped: {} }, columns: columnsOf(flows) },
  }]);
}

const WEEK = { sinceUs: nowUs - 7 * 24 * HOUR_US, untilUs: nowUs + 1 };
const EVERYTHING = { ...WEEK, selection: EVERY_FLOW, limit: 10 };

describe('a plan for flows', () => {
  it('shows single flows for its days and no longer, in every order and on every way to them', async () => {
    const [short, long] = [await newTenant(), await newTenant()];
    for (const context of [short, long]) await storeThreeDays(context);
    await setFlowPlan(owner, short.tenantId, { flowDays: 2 });
    const { reader, statistics } = postgresFlowReaders(api);
    // A page may end before it is full.
    const seen = async (context: TenantContext, order: 'newest' | 'oldest', after?: FlowPosition): Promise<number[]> => {
      const { flows, next } = await reader.list(context, { ...EVERYTHING, order, ...(after === undefined ? {} : { after }) });
      return [...flows.map(({ bytes }) => bytes), ...(next === undefined ? [] : await seen(context, order, next))];
    };
    expect(await seen(long, 'newest')).toEqual([1, 30, 60]);
    expect(await seen(short, 'newest')).toEqual([1, 30]);
    expect(await seen(short, 'oldest')).toEqual([30, 1]);
    expect((await statistics.dnsNames(short, { ...WEEK, limit: 10 })).names.map(({ query }) => query).toSorted()).toEqual(['h1.example.com', 'h30.example.com']);
    expect((await reader.tail(short, EVERYTHING, { commit: '0', batch: '0' }, 10)).flows.map(({ bytes }) => bytes)).toEqual([1, 30]);
  });

  it('shows nothing from a page that ended before its days began', async () => {
    const context = await newTenant();
    await storeThreeDays(context);
    await setFlowPlan(owner, context.tenantId, { flowDays: 1 });
    const { reader } = postgresFlowReaders(api);
    const after = { lastSeenUs: nowUs - 29 * HOUR_US, batch: '0', row: 0 };
    expect(await reader.list(context, { ...EVERYTHING, order: 'newest', after })).toMatchObject({ flows: [] });
    expect((await reader.list(context, { ...EVERYTHING, order: 'newest', after, untilUs: nowUs - 48 * HOUR_US })).flows).toEqual([]);
  });

  it('is set by whoever runs the installation, whole, in the trail of the tenant, and seen by nobody else', async () => {
    const [one, other] = [await newTenant(), await newTenant()];
    await setFlowPlan(owner, one.tenantId, { flowsPerSecond: 100, bytesPerDay: 3_000_000_000, flowDays: 3 });
    const plans = new PostgresFlowPlans(ingest);
    expect(await plans.of(one.tenantId)).toEqual({ flowsPerSecond: 100, bytesPerDay: 3_000_000_000, flowDays: 3 });
    expect(await plans.of(other.tenantId)).toEqual({});
    await setFlowPlan(owner, one.tenantId, { flowDays: 5 });
    expect(await plans.of(one.tenantId)).toEqual({ flowDays: 5 });
    const { rows } = await withClient(database.adminUrl, (client) => client.query<{ n: number }>(`SELECT count(*)::integer AS n FROM palisade.audit_event WHERE tenant_id = $1 AND action = 'flow-plan.set'`, [one.tenantId]));
    expect(rows).toEqual([{ n: 2 }]);
    await expect(api.query('DELETE FROM palisade.flow_plan')).rejects.toThrow('permission denied');
  });

  it('is refused with a figure out of bounds, or for nobody', async () => {
    const { tenantId } = await newTenant();
    for (const plan of [{ flowDays: 0 }, { flowsPerSecond: 1.5 }, { bytesPerDay: Number.NaN }]) await expect(setFlowPlan(owner, tenantId, plan)).rejects.toMatchObject({ code: 'request.invalid' });
    await expect(setFlowPlan(owner, parseTenantId(randomUUID()), {})).rejects.toMatchObject({ code: 'resource.not-found' });
  });
});
