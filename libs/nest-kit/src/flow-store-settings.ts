import { z } from 'zod';

function areUrls(text: string): boolean {
  return text.split(/[;,]/).every((url) => /^https?:$/.test(URL.parse(url.trim())?.protocol ?? ''));
}

const name = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, { error: 'has to be letters, digits and underscores' });

/** Where flows are kept: the same settings in gateway, api and worker. */
export const flowStoreSettings = {
  FLOW_STORE: z.enum(['postgres', 'clickhouse']).default('postgres'),
  /** `http://user:password@a:8123,http://b:8123;http://c:8123`: replicas of a shard apart by commas, shards by semicolons. */
  CLICKHOUSE_URL: z.string().refine(areUrls, { error: 'has to be http(s) URLs: replicas of a shard apart by commas, shards by semicolons' }).optional(),
  CLICKHOUSE_DATABASE: name.default('palisade'),
  /** The cluster's name in the servers' remote_servers; without it there is one server. */
  CLICKHOUSE_CLUSTER: name.optional(),
} as const;

/** For `refine`: the store that is chosen can be found. */
export const flowStoreIsReachable = [
  (config: { readonly FLOW_STORE: string; readonly CLICKHOUSE_URL?: string | undefined }) => config.FLOW_STORE === 'postgres' || config.CLICKHOUSE_URL !== undefined,
  { path: ['CLICKHOUSE_URL'], error: 'is needed with FLOW_STORE=clickhouse' },
] as const satisfies [unknown, { path: string[]; error: string }];

export interface ClickHousePlace {
  readonly url: string;
  readonly database: string;
  readonly cluster?: string;
}

/** Undefined when flows are kept in PostgreSQL. */
export function clickHouseOf(config: z.output<z.ZodObject<typeof flowStoreSettings>>): ClickHousePlace | undefined {
  const { FLOW_STORE: store, CLICKHOUSE_URL: url, CLICKHOUSE_DATABASE: database, CLICKHOUSE_CLUSTER: cluster } = config;
  if (store !== 'clickhouse' || url === undefined) return undefined;
  return { url, database, ...(cluster === undefined ? {} : { cluster }) };
}
