import { randomBytes, randomUUID } from 'node:crypto';
import { EVERY_FLOW, serviceMap } from '@palisade/flow';
import type { FlowQuery, StoredFlow } from '@palisade/control';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEBIAN_CLUSTER, startDebianPair, type DebianPair } from '../../../../tools/clickhouse/debian-cluster.ts';
import { clickHouseUnderTest, readersOf, type ClickHouseUnderTest } from '../testing/clickhouse-under-test.ts';
import { describeFlowStore } from '../testing/flow-store-conformance.ts';
import { oldClickHouseServer } from '../testing/old-clickhouse-server.ts';
import { droppedFlow, sampleFlow, sent } from '../testing/sample-flows.ts';
import { checkServerVersion } from './server-version.ts';
import { sessionOf, type ClickHouseSession } from './clickhouse-session.ts';

const root = process.env['PALISADE_TEST_CLICKHOUSE_DEBIAN'] ?? '';
const layout = { database: `test_${randomBytes(4).toString('hex')}`, cluster: DEBIAN_CLUSTER };
const SECOND_US = 1_000_000;
const startUs = Math.floor(Date.now() / 1000 - 600) * SECOND_US;
const WAIT = { timeout: 30_000, interval: 50 };

describe.skipIf(root === '')('two replicas', () => {
  let pair: DebianPair;
  let tested: ClickHouseUnderTest;
  /** A session with one replica alone. */
  let each: readonly [ClickHouseSession, ClickHouseSession];
  let context: TenantContext;
  let sender: { tenantId: ReturnType<typeof parseTenantId>; clusterId: string; nodeId: string };

  beforeAll(async () => {
    pair = await startDebianPair(root);
    const [first, second] = pair.replicas.map(({ url }) => sessionOf([[oldClickHouseServer(url)]]));
    if (first === undefined || second === undefined) throw new Error('Two replicas were to be there.');
    each = [first, second];
    tested = await clickHouseUnderTest(sessionOf([pair.replicas.map(({ url }) => oldClickHouseServer(url))]), layout);
  });

  afterAll(async () => {
    await tested.close();
    await pair.stop();
  });

  beforeEach(() => {
    const tenantId = parseTenantId(randomUUID());
    context = systemContext(tenantId, 'test');
    sender = { tenantId, clusterId: randomUUID(), nodeId: randomUUID() };
  });

  const query: FlowQuery = { selection: EVERY_FLOW, sinceUs: startUs - 60 * SECOND_US, untilUs: startUs + 60 * SECOND_US, order: 'oldest', limit: 1000 };
  const listOn = async (replica: 0 | 1): Promise<readonly StoredFlow[]> => (await readersOf(each[replica], layout).reader.list(context, query)).flows;
  const rowsOn = async (replica: 0 | 1): Promise<number> =>
    Number((await each[replica].rows<{ n: string }>(`SELECT count() AS n FROM ${layout.database}.flow WHERE tenant_id = {tenant:UUID}`, { tenant: sender.tenantId }))[0]?.n);
  const batch = (seq: number, flows = [sampleFlow(startUs, { bytes: seq }), droppedFlow(startUs + seq)]) => sent(sender, '00000000-0000-7000-8000-00000000b007', seq, flows);

  describeFlowStore('A ClickHouse cluster', () => Promise.resolve(tested.store));

  it('are refused where repeated inserts would count twice: this server is that old', async () => {
    await expect(checkServerVersion(each[0])).rejects.toThrow(/ClickHouse 18\.16\S* is too old .* Upgrade it to 23\.8 or newer\./);
  });

  it('both have what was written to one', async () => {
    await tested.store.sink.append([batch(1), batch(2)]);
    await vi.waitFor(async () => expect([await rowsOn(0), await rowsOn(1)]).toEqual([4, 4]), WAIT);
    expect((await listOn(0)).map(({ id }) => id)).toEqual((await listOn(1)).map(({ id }) => id));
  });

  it('take an insert once, whichever of them is asked again', async () => {
    const row = { tenant_id: sender.tenantId, id: 7, generation: '1', policy_revision: 1, identity_revision: 1, origin: 1 };
    const insert = { table: `${layout.database}.flow_stamp`, format: 'JSONEachRow', body: Buffer.from(JSON.stringify(row)), token: 'again' } as const;
    for (const session of [each[0], each[1], each[0]]) await session.insert(insert);
    const count = async (session: ClickHouseSession): Promise<number> =>
      Number((await session.rows<{ n: string }>(`SELECT count() AS n FROM ${layout.database}.flow_stamp WHERE tenant_id = {tenant:UUID}`, { tenant: sender.tenantId }))[0]?.n);
    await vi.waitFor(async () => expect([await count(each[0]), await count(each[1])]).toEqual([1, 1]), WAIT);
  });

  it('are written and read while one is down, and the other has it all when it is back', async () => {
    await tested.store.sink.append([batch(1)]);
    // Replication follows the acknowledgement; what the other does not have yet is there again with the first.
    await vi.waitFor(async () => expect(await rowsOn(1)).toBe(2), WAIT);
    const [first] = pair.replicas;
    await first.kill();
    try {
      await tested.store.sink.append([batch(2)]);
      expect((await tested.store.reader.list(context, query)).flows).toHaveLength(4);
      expect(await listOn(1)).toHaveLength(4);
    } finally {
      await first.start();
    }
    await vi.waitFor(async () => expect(await listOn(0)).toHaveLength(4), WAIT);
    expect(serviceMap((await readersOf(each[0], layout).edges.edges(context, { ...query, limit: 10 })).edges, 60).map(({ flows }) => flows).toSorted((a, b) => a - b)).toEqual([0, 2]);
  });

  it('keep a follower from missing or repeating anything, though each answer may come from another', async () => {
    let position = await tested.store.reader.now(context);
    const seen: number[] = [];
    const follow = async (replica: 0 | 1): Promise<void> => {
      const tail = await readersOf(each[replica], layout).reader.tail(context, { selection: { allow: [{ verdicts: ['forwarded'] }], deny: [] } }, position, 1000);
      position = tail.position;
      seen.push(...tail.flows.map(({ bytes }) => bytes));
    };
    for (let seq = 1; seq <= 8; seq++) {
      await tested.store.sink.append([batch(seq)]);
      await follow(seq % 2 === 0 ? 0 : 1);
    }
    await vi.waitFor(async () => {
      await follow(1);
      await follow(0);
      expect(seen).toHaveLength(8);
    }, WAIT);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('have everything after both were killed', async () => {
    await tested.store.sink.append([batch(1), batch(2), batch(3)]);
    for (const replica of pair.replicas) await replica.kill();
    expect((await tested.sink.append([batch(4)])).map(({ kind }) => kind)).toEqual(['stored']);
    await expect(tested.sink.flush()).rejects.toMatchObject({ code: 'service.unavailable' });
    await Promise.all(pair.replicas.map((replica) => replica.start()));
    await vi.waitFor(() => tested.sink.flush(), WAIT);
    await vi.waitFor(async () => expect([(await listOn(0)).length, (await listOn(1)).length]).toEqual([8, 8]), WAIT);
    expect((await tested.sink.append([batch(4)])).map(({ kind }) => kind)).toEqual(['duplicate']);
  });
});
