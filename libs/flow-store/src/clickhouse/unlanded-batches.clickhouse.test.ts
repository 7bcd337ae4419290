import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FlowCoverage } from '@palisade/flow';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { PostgresFlowSink } from '../postgres/postgres-flow-sink.ts';
import { readersOf } from '../testing/clickhouse-under-test.ts';
import { droppedFlow, sampleFlow, sent } from '../testing/sample-flows.ts';
import { openClickHouse } from './clickhouse-client.ts';
import { ClickHouseFlowSink } from './clickhouse-flow-sink.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { applySchema } from './schema/apply-schema.ts';
import { SegmentSpool } from './spool/segment-spool.ts';
import { UnlandedBatches } from './unlanded-batches.ts';

const layout = { database: `test_${randomBytes(4).toString('hex')}` };
const SECOND_US = 1_000_000;
const startUs = Math.floor(Date.now() / 1000 - 600) * SECOND_US;
const window = { sinceUs: startUs - SECOND_US, untilUs: startUs + SECOND_US };

describe('batches that a gateway acknowledged and that did not land', () => {
  let database: TestDatabase;
  let session: ClickHouseSession;
  let [ingest, worker]: pg.Pool[] = [];
  let folder: string;
  let context: TenantContext;
  let sender: ReturnType<typeof newSender>;

  const newSender = () => ({ tenantId: parseTenantId(randomUUID()), clusterId: randomUUID(), nodeId: randomUUID() });
  const pool = (one: pg.Pool | undefined): pg.Pool => {
    if (one === undefined) throw new Error('The pools are not there yet.');
    return one;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    [ingest, worker] = [database.ingestUrl, database.workerUrl].map((connectionString) => new pg.Pool({ connectionString, max: 2 }));
    session = await openClickHouse(inject('clickhouseUrl'));
    await applySchema(session, layout);
  });

  afterAll(async () => {
    await session.close();
    await Promise.all([pool(ingest).end(), pool(worker).end()]);
    await database.drop();
  });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'palisade-spool-'));
    sender = newSender();
    context = systemContext(sender.tenantId, 'test');
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const openSink = async (): Promise<ClickHouseFlowSink> => new ClickHouseFlowSink({ session, layout, ledger: pool(ingest), spool: await SegmentSpool.open(folder) });
  const batch = (losses: Record<string, number> = {}) =>
    sent(sender, randomUUID(), 1, [sampleFlow(startUs), droppedFlow(startUs)], { account: { seen: 2, exported: 2, sampled: 0, dropped: losses } });
  const find = (settledMs = 0): Promise<number> => new UnlandedBatches({ session, layout, ledger: pool(worker), settledMs }).find(context);
  const coverage = (over: object = {}, asker = context): Promise<FlowCoverage> => readersOf(session, layout).reader.coverage(asker, { ...window, ...over });
  const NOTHING = { complete: true, lost: 0, sampled: 0, losses: {} };

  it('are counted as lost, with what they lost themselves, when the disk is gone', async () => {
    const gateway = await openSink();
    await gateway.append([batch({ evicted: 3 })]);
    await gateway.close();
    rmSync(folder, { recursive: true });
    expect(await find()).toBe(1);
    expect(await coverage()).toEqual({ complete: false, lost: 5, sampled: 0, losses: { 'not-landed': 5 } });
    expect(await coverage({ clusterId: sender.clusterId })).toMatchObject({ lost: 5 });
    expect(await coverage({ clusterId: randomUUID() })).toEqual(NOTHING);
    expect(await coverage({ sinceUs: startUs + SECOND_US, untilUs: startUs + 2 * SECOND_US })).toEqual(NOTHING);
    expect(await coverage({}, systemContext(newSender().tenantId, 'test'))).toEqual(NOTHING);
    // Found again, it is the same.
    expect(await find()).toBe(1);
    expect(await coverage()).toMatchObject({ lost: 5 });
  });

  it('count no more once they land after all', async () => {
    const gateway = await openSink();
    await gateway.append([batch()]);
    expect(await find()).toBe(1);
    expect(await coverage()).toMatchObject({ complete: false, losses: { 'not-landed': 2 } });
    await gateway.flush();
    await gateway.close();
    expect(await coverage()).toEqual(NOTHING);
    expect(await find()).toBe(0);
  });

  it('are given time to land', async () => {
    const gateway = await openSink();
    await gateway.append([batch()]);
    expect(await find(600_000)).toBe(0);
    await gateway.close();
  });

  it('are looked at once each by one process', async () => {
    const gateway = await openSink();
    await gateway.append([batch()]);
    const unlanded = new UnlandedBatches({ session, layout, ledger: pool(worker), settledMs: 0 });
    expect([await unlanded.find(context), await unlanded.find(context)]).toEqual([1, 0]);
    await gateway.append([batch()]);
    expect(await unlanded.find(context)).toBe(1);
    await gateway.close();
  });

  it('are not those whose flows were stored in PostgreSQL before', async () => {
    await new PostgresFlowSink(pool(ingest)).append([batch()]);
    expect(await find()).toBe(0);
    expect(await coverage()).toEqual(NOTHING);
  });
});
