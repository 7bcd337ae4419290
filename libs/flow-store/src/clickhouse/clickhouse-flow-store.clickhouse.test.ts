import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, inject } from 'vitest';
import { clickHouseUnderTest, type ClickHouseUnderTest } from '../testing/clickhouse-under-test.ts';
import { describeFlowStore } from '../testing/flow-store-conformance.ts';
import { openClickHouse } from './clickhouse-client.ts';

let tested: ClickHouseUnderTest;

beforeAll(async () => {
  tested = await clickHouseUnderTest(await openClickHouse(inject('clickhouseUrl')), { database: `test_${randomBytes(4).toString('hex')}` });
});

afterAll(() => tested.close());

describeFlowStore('ClickHouse', () => Promise.resolve(tested.store));
