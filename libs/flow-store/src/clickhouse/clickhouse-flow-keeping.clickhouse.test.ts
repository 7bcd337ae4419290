import { randomBytes, randomUUID } from 'node:crypto';
import { EVERY_FLOW } from '@palisade/flow';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { clickHouseUnderTest, type ClickHouseUnderTest } from '../testing/clickhouse-under-test.ts';
import { sampleFlow, sent } from '../testing/sample-flows.ts';
import { openClickHouse } from './clickhouse-client.ts';

const SECOND_US = 1_000_000;
const DAY_US = 86_400 * SECOND_US;
/** Yesterday at noon, and four days before: nothing here crosses a day by chance. */
const yesterdayUs = Math.floor((Date.now() * 1000) / DAY_US) * DAY_US - DAY_US / 2;
const oldUs = yesterdayUs - 4 * DAY_US;

describe('days of flows in ClickHouse', () => {
  let tested: ClickHouseUnderTest;

  beforeAll(async () => {
    tested = await clickHouseUnderTest(await openClickHouse(inject('clickhouseUrl')), { database: `test_${randomBytes(4).toString('hex')}` });
  });

  afterAll(() => tested.close());

  it('are removed whole when they are over, of every tenant, and stay until then', async () => {
    const { sink, reader, edges, keeping } = tested.store;
    const contexts = [randomUUID(), randomUUID()].map((id) => systemContext(parseTenantId(id), 'test'));
    for (const { tenantId } of contexts) await sink.append([sent({ tenantId, clusterId: randomUUID(), nodeId: randomUUID() }, randomUUID(), 1, [sampleFlow(oldUs), sampleFlow(yesterdayUs)])]);
    /** Asks around the two instants alone: a page looks at so much time as it may, and days between would be many pages. */
    const timesOf = async (context: TenantContext): Promise<number[]> => {
      const found: number[] = [];
      for (const us of [oldUs, yesterdayUs]) {
        const { flows } = await reader.list(context, { selection: EVERY_FLOW, sinceUs: us - SECOND_US, untilUs: us + SECOND_US, order: 'oldest', limit: 10 });
        found.push(...flows.map(({ lastSeenUs }) => lastSeenUs));
      }
      return found;
    };
    const times = async (): Promise<number[]> => (await Promise.all(contexts.map(timesOf))).flat();
    expect(await keeping.expire(7)).toBe(0);
    expect(await times()).toEqual([oldUs, yesterdayUs, oldUs, yesterdayUs]);
    expect(await keeping.expire(3)).toBe(1);
    expect(await times()).toEqual([yesterdayUs, yesterdayUs]);
    expect(await keeping.expire(3)).toBe(0);
    // Sums outlive the flows they were made of.
    const [context] = contexts;
    if (context === undefined) throw new Error('There were to be two tenants.');
    expect((await edges.edges(context, { sinceUs: oldUs - DAY_US, untilUs: oldUs + DAY_US, limit: 10 })).edges).toHaveLength(1);
  });
});
