import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError, readConfig } from './config.ts';
import { clickHouseOf, flowStoreIsReachable, flowStoreSettings } from './flow-store-settings.ts';

const schema = z.object(flowStoreSettings).refine(...flowStoreIsReachable);

describe('the flow store’s settings', () => {
  it('keep flows in PostgreSQL unless told otherwise', () => {
    expect(clickHouseOf(readConfig(schema, {}))).toBeUndefined();
    expect(clickHouseOf(readConfig(schema, { CLICKHOUSE_URL: 'http://a:8123' }))).toBeUndefined();
  });

  it('name ClickHouse by its replicas and shards', () => {
    const config = readConfig(schema, { FLOW_STORE: 'clickhouse', CLICKHOUSE_URL: 'http://a:8123,http://b:8123;https://c:8443', CLICKHOUSE_CLUSTER: 'main' });
    expect(clickHouseOf(config)).toEqual({ url: 'http://a:8123,http://b:8123;https://c:8443', database: 'palisade', cluster: 'main' });
  });

  it.each([{ FLOW_STORE: 'clickhouse' }, { FLOW_STORE: 'clickhouse', CLICKHOUSE_URL: 'tcp://a:9000' }, { FLOW_STORE: 'mongo' }, { CLICKHOUSE_DATABASE: 'a; DROP' }])('refuse %o', (environment) => {
    expect(() => readConfig(schema, environment)).toThrow(ConfigError);
  });
});
