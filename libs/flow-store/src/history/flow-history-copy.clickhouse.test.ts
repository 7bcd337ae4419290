import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EVERY_FLOW, serviceMap } from '@palisade/flow';
import type { FlowQuery, SentFlowBatch, StoredFlow } from '@palisade/control';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { openClickHouse } from '../clickhouse/clickhouse-client.ts';
import type { ClickHouseInsert, ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { ClickHouseFlowSink } from '../clickhouse/clickhouse-flow-sink.ts';
import { applySchema } from '../clickhouse/schema/apply-schema.ts';
import { SegmentSpool } from '../clickhouse/spool/segment-spool.ts';
import { PostgresFlowEdges } from '../postgres/postgres-flow-edges.ts';
import { PostgresFlowReader } from '../postgres/postgres-flow-reader.ts';
import { PostgresFlowSink } from '../postgres/postgres-flow-sink.ts';
import { readersOf } from '../testing/clickhouse-under-test.ts';
import { droppedFlow, mixedFlows, sampleFlow, sent } from '../testing/sample-flows.ts';
import { copySentences, FlowHistoryCopy } from './flow-history-copy.ts';

const layout = { database: `test_${randomBytes(4).toString('hex')}` };
const SECOND_US = 1_000_000;
const DAY_US = 86_400 * SECOND_US;
/** Yesterday at noon: nothing here crosses a day by chance. */
const startUs = Math.floor((Date.now() * 1000) / DAY_US) * DAY_US - DAY_US / 2;

describe('copying history from PostgreSQL to ClickHouse', () => {
  let database: TestDatabase;
  let session: ClickHouseSession;
  let [ingest, api, worker, admin]: pg.Pool[] = [];
  let postgres: PostgresFlowSink;
  let clickHouse: ClickHouseFlowSink;
  const folder = mkdtempSync(join(tmpdir(), 'palisade-spool-'));
  let context: TenantContext;
  let sender: SentFlowBatch['sender'];
  const bootId = randomUUID();

  const pools = (): { ingest: pg.Pool; api: pg.Pool; worker: pg.Pool; admin: pg.Pool } => {
    if (ingest === undefined || api === undefined || worker === undefined || admin === undefined) throw new Error('The pools are not there yet.');
    return { ingest, api, worker, admin };
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    [ingest, api, worker, admin] = [database.ingestUrl, database.apiUrl, database.workerUrl, database.adminUrl].map((connectionString) => new pg.Pool({ connectionString, max: 4 }));
    await pools().admin.query('SELECT palisade.flow_ensure_partitions(current_date - 3, current_date + 3)');
    session = await openClickHouse(inject('clickhouseUrl'));
    await applySchema(session, layout);
    postgres = new PostgresFlowSink(pools().ingest);
    clickHouse = new ClickHouseFlowSink({ session, layout, ledger: pools().ingest, spool: await SegmentSpool.open(folder) });
  });

  afterAll(async () => {
    await clickHouse.close();
    await session.close();
    for (const pool of Object.values(pools())) await pool.end();
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(() => {
    const tenantId = parseTenantId(randomUUID());
    context = systemContext(tenantId, 'test');
    sender = { tenantId, clusterId: randomUUID(), nodeId: randomUUID() };
  });

  const query: FlowQuery = { selection: EVERY_FLOW, sinceUs: startUs - 2 * DAY_US, untilUs: startUs + 3600 * SECOND_US, order: 'oldest', limit: 1000 };
  const window = { sinceUs: startUs - 3600 * SECOND_US, untilUs: startUs + 3600 * SECOND_US, limit: 1000 };
  const copyWith = (own: ClickHouseSession = session, chunk = { batches: 3, rows: 40 }): FlowHistoryCopy => new FlowHistoryCopy({ pool: pools().worker, session: own, layout, chunk });
  const listed = async (store: 'postgres' | 'clickhouse'): Promise<readonly StoredFlow[]> => {
    const flows: StoredFlow[] = [];
    let after: FlowQuery['after'];
    const reader = store === 'postgres' ? new PostgresFlowReader(pools().api) : readersOf(session, layout).reader;
    do {
      const page = await reader.list(context, { ...query, ...(after === undefined ? {} : { after }) });
      flows.push(...page.flows);
      after = page.next;
    } while (after !== undefined);
    return flows;
  };
  const inPostgres = (seq: number, flows = mixedFlows(startUs + seq * SECOND_US), over: Partial<SentFlowBatch['batch']> = {}) => postgres.append([sent(sender, bootId, seq, flows, over)]);

  it('brings every flow over as it was, under the id it had, with sums and losses, and says that both agree', async () => {
    for (let seq = 1; seq <= 7; seq++) await inPostgres(seq, [...mixedFlows(startUs + seq * SECOND_US), droppedFlow(startUs - DAY_US)]);
    await inPostgres(8, [sampleFlow(startUs)], { account: { seen: 9, exported: 1, sampled: 3, dropped: { 'ring-full': 5 } } });
    const copied = await copyWith().copy(context);
    expect(copied).toMatchObject({ copiedBatches: 8, copiedFlows: 71, waiting: 0, days: 2, flows: 71n, differences: [] });
    expect(copySentences(copied)).toEqual([`Tenant ${context.tenantId}: 8 batches with 71 flows copied; ClickHouse has the same 71 flows of 2 days as PostgreSQL, with the same packets, bytes and weights.`]);
    expect(await listed('clickhouse')).toEqual(await listed('postgres'));
    const readers = readersOf(session, layout);
    const [edges, own] = [await readers.edges.edges(context, window), await new PostgresFlowEdges(pools().api).edges(context, window)];
    const map = (answer: typeof edges) => serviceMap(answer.edges, 60).map((edge) => JSON.stringify(edge)).toSorted();
    expect(map(edges)).toEqual(map(own));
    expect(await readers.reader.coverage(context, query)).toEqual(await new PostgresFlowReader(pools().api).coverage(context, query));
    expect(await readers.sources.nodes(context, startUs)).toMatchObject([{ nodeId: sender.nodeId, name: 'node-a', storedFlows: 71 }]);
  });

  it('copies once however often it runs, and only what came since', async () => {
    await inPostgres(1);
    expect(await copyWith().copy(context)).toMatchObject({ copiedFlows: 9, flows: 9n });
    expect(await copyWith().copy(context)).toMatchObject({ copiedFlows: 0, flows: 9n, differences: [] });
    await inPostgres(2);
    expect(await copyWith().copy(context)).toMatchObject({ copiedFlows: 9, flows: 18n, differences: [] });
    expect(await listed('clickhouse')).toHaveLength(18);
  });

  it.each(['names', 'flows', 'batches', 'journal'])('stores each flow once when it is ended around any insert of %s, before or after the server took it', async (part) => {
    for (let seq = 1; seq <= 6; seq++) await inPostgres(seq);
    const table = { names: 'flow_peer', flows: 'flow_ingest', batches: 'flow_batch', journal: 'flow_copy' }[part] ?? '';
    for (const after of [false, true, true, false]) {
      let left = 2;
      const ending: ClickHouseSession = {
        ...session,
        async insert(insert: ClickHouseInsert) {
          const ends = insert.table.endsWith(`.${table}`) && --left === 0;
          if (ends && !after) throw new Error('ended');
          await session.insert(insert);
          if (ends) throw new Error('ended');
        },
      };
      // Names repeat: there may be no second insert of them.
      await copyWith(ending).copy(context).catch((error: unknown) => expect(error).toMatchObject({ message: 'ended' }));
    }
    expect(await copyWith().copy(context)).toMatchObject({ waiting: 0, flows: 54n, differences: [] });
    expect(await listed('clickhouse')).toEqual(await listed('postgres'));
    const [sums] = await session.rows<{ bytes: string }>(`SELECT sum(bytes) AS bytes FROM ${layout.database}.flow_edge_minute WHERE tenant_id = {tenant:UUID}`, { tenant: context.tenantId });
    const expected = await pools().admin.query<{ bytes: string }>('SELECT sum(bytes) AS bytes FROM palisade.flow_edge_minute WHERE tenant_id = $1', [context.tenantId]);
    expect(sums?.bytes).toBe(expected.rows[0]?.bytes);
  });

  it('leaves alone what gateways stored in ClickHouse, also what is still in a spool', async () => {
    await inPostgres(1);
    await clickHouse.append([sent(sender, bootId, 2, mixedFlows(startUs))]);
    await clickHouse.flush();
    await clickHouse.append([sent(sender, bootId, 3, mixedFlows(startUs))]);
    await inPostgres(4);
    expect(await copyWith().copy(context)).toMatchObject({ copiedBatches: 2, copiedFlows: 18, differences: [] });
    await clickHouse.flush();
    expect(await copyWith().copy(context)).toMatchObject({ copiedBatches: 0, differences: [] });
    expect((await listed('clickhouse')).map(({ id }) => id).toSorted()).toEqual([...new Set((await listed('clickhouse')).map(({ id }) => id))].toSorted());
    expect(await listed('clickhouse')).toHaveLength(36);
  });

  it('waits with a batch without flows until it is known whose it is, and copies its losses then', async () => {
    await inPostgres(1);
    await inPostgres(2, [], { windowStartUs: startUs, windowEndUs: startUs + 1, account: { seen: 4, exported: 0, sampled: 0, dropped: { 'ring-full': 4 } } });
    const first = await copyWith().copy(context);
    expect(first).toMatchObject({ copiedBatches: 1, waiting: 1, differences: [] });
    expect(copySentences(first)[1]).toContain('run it again in ten minutes');
    await pools().admin.query(`UPDATE palisade.flow_batch SET received_at = received_at - interval '1 hour' WHERE tenant_id = $1`, [context.tenantId]);
    expect(await copyWith().copy(context)).toMatchObject({ copiedBatches: 1, copiedFlows: 0, waiting: 0 });
    expect((await readersOf(session, layout).reader.coverage(context, query)).losses).toEqual({ 'ring-full': 4 });
  });

  it('is no news to followers', async () => {
    const { reader } = readersOf(session, layout);
    const position = await reader.now(context);
    await inPostgres(1);
    await copyWith().copy(context);
    expect((await reader.tail(context, { selection: EVERY_FLOW }, position, 1000)).flows).toEqual([]);
  });

  it('says on which day the stores differ', async () => {
    await inPostgres(1);
    await copyWith().copy(context);
    await pools().admin.query('UPDATE palisade.flow SET bytes = bytes + 1 WHERE tenant_id = $1 AND "row" = 0', [context.tenantId]);
    const copied = await copyWith().copy(context);
    expect(copied.differences).toHaveLength(1);
    expect(copySentences(copied).join('\n')).toMatch(/the stores differ on 1 of 1 days[\s\S]*PostgreSQL has 9 flows of \d+ bytes, ClickHouse 9 of \d+\./);
  });

  it('runs once at a time for a tenant', async () => {
    await inPostgres(1);
    const both = await Promise.allSettled([copyWith().copy(context), copyWith().copy(context)]);
    const failed = both.filter((one) => one.status === 'rejected');
    expect(failed.length).toBeLessThanOrEqual(1);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'service.unavailable' });
    expect(await listed('clickhouse')).toHaveLength(9);
  });

  it('shows nothing of another tenant', async () => {
    await inPostgres(1);
    const other = systemContext(parseTenantId(randomUUID()), 'test');
    expect(await copyWith().copy(other)).toMatchObject({ copiedBatches: 0, flows: 0n });
    expect(await listed('clickhouse')).toEqual([]);
  });
});
