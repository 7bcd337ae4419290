import { randomBytes, randomUUID } from 'node:crypto';
import { EVERY_FLOW, matchesFlow, type FlowFilter, type FlowSelection } from '@palisade/flow';
import type { FlowPosition } from '@palisade/control';
import { parseTenantId, systemContext, WHOLE_TENANT, type TenantContext } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { clickHouseUnderTest, readersOf, type ClickHouseUnderTest } from '../testing/clickhouse-under-test.ts';
import { mixedFlows, sampleFlow, sent } from '../testing/sample-flows.ts';
import { openClickHouse } from './clickhouse-client.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { SchemaWords } from './schema/engines.ts';
import { TenantQuestion } from './tenant-question.ts';

const layout = { database: `test_${randomBytes(4).toString('hex')}` };
const SECOND_US = 1_000_000;
const startUs = Math.floor(Date.now() / 1000 - 600) * SECOND_US;
const query = { selection: EVERY_FLOW, sinceUs: startUs - 60 * SECOND_US, untilUs: startUs + 60 * SECOND_US, order: 'oldest', limit: 1000 } as const;

/** What would end a literal, a condition or a statement, were it put into one. */
const ESCAPES = [
  `' OR 1 = 1 --`, `') OR (1 = 1) OR ('' = '`, `\\' OR 1 = 1 --`, `x'), tenant_id = tenant_id) OR 1 OR has(['`, `{tenant:UUID}`, `' UNION ALL SELECT * FROM ${layout.database}.flow --`,
  '*', '%', '_', '\\', `\n\t\0'`, `'; DROP TABLE ${layout.database}.flow; --`, `"`, '`', `/* '`, `*/`,
];

/** The hostile text in every place of a filter that takes one. */
function hostileFilters(text: string): FlowFilter[] {
  const ends = { namespaces: [text], workloads: [text], pods: [`${text}/${text}`], clusters: [text], nodes: [text], dnsNames: [text] };
  return [
    ...Object.entries(ends).flatMap(([field, value]): FlowFilter[] => [{ source: { [field]: value } }, { destination: { [field]: value } }, { either: { [field]: value } }]),
    ...(['in', 'not-in', 'exists', 'not-exists'] as const).map((operator): FlowFilter => ({ source: { labels: [[{ source: text, key: text, operator, values: operator.includes('in') ? [text] : [] }]] } })),
    { observers: [text] }, { processes: [text] }, { httpMethods: [text] }, { httpPaths: [text] }, { httpStatuses: [text] }, { httpStatuses: [`${text}+`] }, { dnsQueries: [text] },
    { policies: [{ name: text, kind: text, namespace: text, direction: 'egress', rule: 0 }] },
  ];
}

describe('tenants in ClickHouse', () => {
  let session: ClickHouseSession;
  let tested: ClickHouseUnderTest;
  let own: TenantContext;
  let other: { tenantId: ReturnType<typeof parseTenantId>; clusterId: string; nodeId: string };
  const statements: string[] = [];

  beforeAll(async () => {
    session = await openClickHouse(inject('clickhouseUrl'));
    tested = await clickHouseUnderTest(session, layout);
    const tenantId = parseTenantId(randomUUID());
    own = systemContext(tenantId, 'test');
    other = { tenantId: parseTenantId(randomUUID()), clusterId: randomUUID(), nodeId: randomUUID() };
    await tested.store.sink.append([
      sent({ tenantId, clusterId: randomUUID(), nodeId: randomUUID() }, randomUUID(), 1, [sampleFlow(startUs, { bytes: 1 })]),
      sent(other, randomUUID(), 1, mixedFlows(startUs)),
    ]);
  });

  afterAll(() => tested.close());

  /** Over all pages: one may end before its limit. */
  async function bytesOf(selection: FlowSelection): Promise<number[]> {
    const bytes: number[] = [];
    let after: FlowPosition | undefined;
    do {
      const page = await tested.store.reader.list(own, { ...query, selection, ...(after === undefined ? {} : { after }) });
      bytes.push(...page.flows.map((flow) => flow.bytes));
      after = page.next;
    } while (after !== undefined);
    return bytes;
  }

  it.each(ESCAPES)('no filter reaches beyond its tenant with %j', async (text) => {
    const flow = sampleFlow(startUs, { bytes: 1 });
    // Each filter alone would make a hundred questions; together they are one, and each of them denied is another.
    const filters = hostileFilters(text);
    const any = { allow: filters, deny: [] };
    expect(await bytesOf(any)).toEqual(matchesFlow(any, flow) ? [1] : []);
    const none = { allow: [], deny: filters };
    expect(await bytesOf(none)).toEqual(matchesFlow(none, flow) ? [1] : []);
  });

  it.each(ESCAPES)('no scope, cluster or position reaches beyond its tenant with %j', async (text) => {
    const scoped: TenantContext = { ...own, actor: { ...own.actor, scope: { ...WHOLE_TENANT, namespaces: [text], clusters: [text] } } };
    expect((await tested.store.reader.list(scoped, query)).flows).toEqual([]);
    expect((await tested.store.reader.list(own, { ...query, clusterId: text })).flows).toEqual([]);
    expect((await tested.store.edges.edges(scoped, { ...query, limit: 10 })).edges).toEqual([]);
    await expect(tested.store.reader.tail(own, query, { commit: text, batch: text }, 10)).rejects.toMatchObject({ code: 'cursor.invalid' });
    await expect(tested.store.reader.list(own, { ...query, after: { lastSeenUs: 0, batch: text, row: 0 } })).rejects.toThrow();
  });

  it('every statement of every reader limits every table it names to the tenant', async () => {
    const watched: ClickHouseSession = {
      ...session,
      rows: (sql, parameters) => {
        statements.push(sql);
        expect(parameters['tenant']).toMatch(/^[0-9a-f-]{36}$/);
        return session.rows(sql, parameters);
      },
    };
    const { reader, edges, sources, statistics } = readersOf(watched, layout);
    const start = await statistics.positionAt(own, 0);
    await reader.list(own, query);
    await reader.tail(own, query, start, 1000);
    await edges.edges(own, { ...query, limit: 10 });
    await sources.nodes(own, 0);
    await sources.namespaces(own, 0);
    await statistics.dnsNames(own, { ...query, limit: 10 });
    await statistics.counts(own, {}, start, 1000);
    expect(statements.length).toBeGreaterThan(15);
    for (const sql of statements) expect(sql.split(`${layout.database}.`).length).toBe(sql.split('tenant_id = {tenant:UUID}').length);
  });

  it.each([`SELECT * FROM ${layout.database}.flow`, `SELECT 1 FROM system.tables`, `SELECT 1 FROM (SELECT * FROM ${layout.database}.flow) AS all`])('a statement that names a table otherwise is not sent: %s', async (sql) => {
    await expect(new TenantQuestion(session, new SchemaWords(layout), own).rows(sql)).rejects.toThrow('without the condition on its tenant');
  });
});
