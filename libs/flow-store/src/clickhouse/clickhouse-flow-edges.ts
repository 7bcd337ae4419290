import { DomainError } from '@palisade/errors';
import { dropReasonName, LATENCY_BUCKETS, verdictName, type EdgeHttp, type FlowEdge } from '@palisade/flow';
import type { FlowEdgeAnswer, FlowEdgeQuery, FlowEdgeReader } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import { clusterCondition, namespaceCondition } from './actor-scope.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { readCoverage } from './flow-coverage.ts';
import { loadEntries, partyFields, peerRow, policiesOf } from './flow-rows.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import type { EdgeBucket } from './schema/flow-tables.ts';
import { TenantQuestion } from './tenant-question.ts';

/** Beyond this, minutes are not worth reading: hours say the same in a sixtieth of the rows. */
const HOURS_FROM_US = 6 * 3_600_000_000;
const HOUR_S = 3_600;
const MAX_EDGES = 20_000;

const KEY = 'source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id';

interface EdgeKey {
  readonly source_id: string;
  readonly destination_id: string;
  readonly port: number;
  readonly protocol: number;
  readonly verdict: number;
  readonly drop_reason: number;
  readonly policy_set_id: string;
}

interface EdgeRow extends EdgeKey {
  readonly all_flows: string;
  readonly all_packets: string;
  readonly all_bytes: string;
  readonly all_reply_packets: string;
  readonly all_reply_bytes: string;
}

interface HttpRow extends EdgeKey {
  readonly all_requests: string;
  readonly all_errors: string;
  readonly histogram: readonly [readonly number[], readonly string[]];
}

const keyText = (row: EdgeKey): string => [row.source_id, row.destination_id, row.port, row.protocol, row.verdict, row.drop_reason, row.policy_set_id].join(' ');

/** Reads the summing tables. Minutes are exact; over six hours, the window is widened to whole hours at its start. */
export class ClickHouseFlowEdges implements FlowEdgeReader {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;

  constructor(session: ClickHouseSession, layout: ClickHouseLayout) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
  }

  async edges(context: TenantContext, query: FlowEdgeQuery): Promise<FlowEdgeAnswer> {
    if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_EDGES) {
      throw new DomainError('request.invalid', `The number of edges lies between 1 and ${MAX_EDGES}.`, { pointer: '/limit' });
    }
    const ask = (): TenantQuestion => new TenantQuestion(this.#session, this.#words, context);
    const [rows, all, http, coverage] = await Promise.all([
      edgeRows(ask(), context, query), allEdges(ask(), context, query), httpRows(ask(), context, query), readCoverage(ask, context, query),
    ]);
    const edges = await nameEdges(ask, rows, new Map(http.map((row) => [keyText(row), httpOf(row)])));
    const told = edges.reduce((sum, { flows, bytes }) => ({ flows: sum.flows + flows, bytes: sum.bytes + bytes }), { flows: 0, bytes: 0 });
    const beyond = (sum: string | undefined, own: number): number => Math.max(0, Number(sum ?? 0) - own);
    return { edges, beyond: { edges: beyond(all?.edges, edges.length), flows: beyond(all?.flows, told.flows), bytes: beyond(all?.bytes, told.bytes) }, coverage };
  }
}

interface Window {
  readonly bucket: EdgeBucket;
  readonly conditions: string[];
}

function windowOf(question: TenantQuestion, { sinceUs, untilUs }: FlowEdgeQuery): Window {
  const bucket = untilUs - sinceUs <= HOURS_FROM_US ? 'minute' : 'hour';
  // A bucket begins at a whole second: rounding up keeps the comparison of instants exact.
  const since = bucket === 'minute' ? Math.ceil(sinceUs / 1e6) : Math.floor(sinceUs / 1e6 / HOUR_S) * HOUR_S;
  const until = Math.ceil(untilUs / 1e6);
  return { bucket, conditions: [`bucket >= toDateTime(${question.add('UInt64', Math.max(0, since))}, 'UTC')`, `bucket < toDateTime(${question.add('UInt64', Math.max(0, until))}, 'UTC')`] };
}

/** The edges of the window, apart. */
function busiest(question: TenantQuestion, context: TenantContext, query: FlowEdgeQuery, window: Window): string {
  const conditions = [...window.conditions, ...clusterCondition(context, query.clusterId, question), ...namespaceCondition(context, question)];
  return `${question.from(`flow_edge_${window.bucket}`, conditions)} GROUP BY ${KEY}`;
}

const BUSIEST_FIRST = `ORDER BY all_bytes + all_reply_bytes DESC, all_flows DESC, ${KEY}`;

function edgeRows(question: TenantQuestion, context: TenantContext, query: FlowEdgeQuery): Promise<readonly EdgeRow[]> {
  const from = busiest(question, context, query, windowOf(question, query));
  return question.rows<EdgeRow>(
    `SELECT ${KEY}, sum(flows) AS all_flows, sum(packets) AS all_packets, sum(bytes) AS all_bytes, sum(reply_packets) AS all_reply_packets,
      sum(reply_bytes) AS all_reply_bytes ${from} ${BUSIEST_FIRST} LIMIT ${query.limit}`,
  );
}

/** What all edges of the window sum up to. Flows may land between this question and the other. */
async function allEdges(question: TenantQuestion, context: TenantContext, query: FlowEdgeQuery): Promise<{ edges: string; flows: string; bytes: string } | undefined> {
  const from = busiest(question, context, query, windowOf(question, query));
  const [all] = await question.rows<{ edges: string; flows: string; bytes: string }>(
    `SELECT count() AS edges, sum(one_flows) AS flows, sum(one_bytes) AS bytes FROM (SELECT ${KEY}, sum(flows) AS one_flows, sum(bytes) AS one_bytes ${from}) AS edge`,
  );
  return all;
}

/** HTTP sums of the busiest edges. */
function httpRows(question: TenantQuestion, context: TenantContext, query: FlowEdgeQuery): Promise<readonly HttpRow[]> {
  const window = windowOf(question, query);
  const told = `(${KEY}) ${question.isIn} (SELECT ${KEY} FROM (SELECT ${KEY}, sum(flows) AS all_flows, sum(bytes) AS all_bytes, sum(reply_bytes) AS all_reply_bytes
    ${busiest(question, context, query, window)} ${BUSIEST_FIRST} LIMIT ${query.limit}) AS edge)`;
  const conditions = [...window.conditions, ...clusterCondition(context, query.clusterId, question), told];
  return question.rows<HttpRow>(
    `SELECT ${KEY}, sumMerge(requests) AS all_requests, sumMerge(errors) AS all_errors, sumMapMerge(latency) AS histogram
      ${question.from(`flow_http_${window.bucket}`, conditions)} GROUP BY ${KEY}`,
  );
}

function httpOf(row: HttpRow): EdgeHttp {
  const [buckets, counts] = row.histogram;
  const latency = buckets.length === 0 ? [] : new Array<number>(LATENCY_BUCKETS).fill(0);
  for (const [index, bucket] of buckets.entries()) latency[bucket] = Number(counts[index] ?? 0);
  return { requests: Number(row.all_requests), errors: Number(row.all_errors), latency };
}

async function nameEdges(ask: () => TenantQuestion, rows: readonly EdgeRow[], http: ReadonlyMap<string, EdgeHttp>): Promise<FlowEdge[]> {
  const [parties, policies] = await Promise.all([
    loadEntries(ask, 'flow_peer', rows.flatMap((row) => [row.source_id, row.destination_id])),
    loadEntries(ask, 'flow_policy_set', rows.map((row) => row.policy_set_id)),
  ]);
  return rows.map((row) => {
    const dropReason = dropReasonName(row.drop_reason);
    const signals = http.get(keyText(row));
    return {
      source: partyFields(peerRow(parties, row.source_id)),
      destination: partyFields(peerRow(parties, row.destination_id)),
      port: row.port,
      protocol: row.protocol,
      verdict: verdictName(row.verdict),
      ...(dropReason === undefined ? {} : { dropReason }),
      policies: policiesOf(policies, row.policy_set_id),
      flows: Number(row.all_flows),
      packets: Number(row.all_packets),
      bytes: Number(row.all_bytes),
      replyPackets: Number(row.all_reply_packets),
      replyBytes: Number(row.all_reply_bytes),
      ...(signals === undefined ? {} : { http: signals }),
    };
  });
}
