import { DomainError } from '@palisade/errors';
import { COUNTED_LATENCIES_US, COUNTED_TCP_FLAGS, directionName, DNS_ADDRESSES, eventName, FLOW_EVENT, LATENCY_BUCKETS, verdictName, type FlowCount, type FlowDnsName } from '@palisade/flow';
import type { FlowCounts, FlowDnsAnswers, FlowDnsQuery, FlowQuery, FlowStatistics, IngestPosition } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { loadEntries, partyFields, peerRow } from './flow-rows.ts';
import { batchConditions, FlowTailing, type BatchRow } from './flow-tailing.ts';
import { inScope, timeConditions } from './flow-visibility.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import { TenantQuestion } from './tenant-question.ts';

const MAX_NAMES = 5_000;

/** Counts flows inside ClickHouse. */
export class ClickHouseFlowStatistics implements FlowStatistics {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #tailing: FlowTailing;

  constructor(session: ClickHouseSession, layout: ClickHouseLayout) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
    this.#tailing = new FlowTailing(session, this.#words);
  }

  async dnsNames(context: TenantContext, query: FlowDnsQuery): Promise<FlowDnsAnswers> {
    if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_NAMES) {
      throw new DomainError('request.invalid', `The number of names lies between 1 and ${MAX_NAMES}.`, { pointer: '/limit' });
    }
    const ask = (): TenantQuestion => new TenantQuestion(this.#session, this.#words, context);
    const [rows, all] = await Promise.all([nameRows(ask(), context, query), allNames(ask(), context, query)]);
    const names = rows.map(nameOf);
    const told = names.reduce((sum, { lookups }) => sum + lookups, 0);
    return { names, beyond: { names: Math.max(0, Number(all?.names ?? 0) - names.length), lookups: Math.max(0, Number(all?.lookups ?? 0) - told) } };
  }

  positionAt(_context: TenantContext, us: number): Promise<IngestPosition> {
    return this.#tailing.positionAt(us);
  }

  async counts(context: TenantContext, query: Pick<FlowQuery, 'clusterId'>, position: IngestPosition, rows: number): Promise<FlowCounts> {
    const { batches, ...step } = await this.#tailing.step(context, position, rows);
    const asked = batches.filter((batch) => batch.rows > 0);
    if (asked.length === 0) return { counts: [], ...step };
    const ask = (): TenantQuestion => new TenantQuestion(this.#session, this.#words, context);
    return { counts: await nameCounts(ask, await countRows(ask(), context, query, asked)), ...step };
  }
}

interface NameRow {
  readonly name: string;
  readonly lookups: string;
  readonly clients: string;
  readonly last_us: string;
  readonly by_rcode: readonly [readonly number[], readonly string[]];
  readonly by_bucket: readonly [readonly number[], readonly string[]];
  readonly found: readonly string[];
}

/** The bucket of `latencyBucket` plus one; 0: not measured. */
const BUCKET = `if(latency_us = 0, 0, if(latency_us < 64, 1, toUInt8(2 + least(${LATENCY_BUCKETS - 2}, floor(log2(latency_us / 64) * 4)))))`;

/** Answers are first summed up by their dictionary entry, of which a name has few; the names come to that afterwards. */
function answers(question: TenantQuestion, context: TenantContext, query: FlowDnsQuery): string {
  const conditions = ['dns_id > 0', ...timeConditions(question, query.sinceUs, query.untilUs), ...inScope(question, context, query.clusterId)];
  return `FROM (SELECT dns_id, source_id, ${BUCKET} AS bucket, sum(toUInt64(weight)) AS flows, max(last_seen_us) AS last_seen
        ${question.from('flow', conditions)} GROUP BY dns_id, source_id, bucket) AS part
      ${question.joins} (SELECT id AS dns_id, query AS name, rcode, addresses ${question.from('flow_dns')}) AS answer USING (dns_id)`;
}

function nameRows(question: TenantQuestion, context: TenantContext, query: FlowDnsQuery): Promise<readonly NameRow[]> {
  return question.rows<NameRow>(
    `SELECT name, sum(flows) AS lookups, uniqExact(source_id) AS clients, max(last_seen) AS last_us, sumMap([rcode], [flows]) AS by_rcode,
        sumMap([toUInt16(bucket)], [flows]) AS by_bucket, arraySlice(arraySort(groupUniqArrayArray(addresses)), 1, ${DNS_ADDRESSES}) AS found
      ${answers(question, context, query)} GROUP BY name ORDER BY lookups DESC, name LIMIT ${query.limit}`,
  );
}

async function allNames(question: TenantQuestion, context: TenantContext, query: FlowDnsQuery): Promise<{ names: string; lookups: string } | undefined> {
  const [all] = await question.rows<{ names: string; lookups: string }>(`SELECT uniqExact(name) AS names, sum(flows) AS lookups ${answers(question, context, query)}`);
  return all;
}

function nameOf(row: NameRow): FlowDnsName {
  const latency: number[] = [];
  for (const [index, bucket] of row.by_bucket[0].entries()) {
    if (bucket === 0) continue;
    while (latency.length < bucket) latency.push(0);
    latency[bucket - 1] = Number(row.by_bucket[1][index]);
  }
  const byRcode = Object.fromEntries(row.by_rcode[0].map((rcode, index) => [rcode, Number(row.by_rcode[1][index])]));
  return { query: row.name, lookups: Number(row.lookups), byRcode, clients: Number(row.clients), addresses: row.found, latency, lastSeenUs: Number(row.last_us) };
}

interface CountRow {
  readonly event: number;
  readonly verdict: number;
  readonly direction: number;
  readonly protocol: number;
  readonly is_reply: number;
  readonly source_id: string;
  readonly destination_id: string;
  readonly http_id: string;
  readonly http_status: number;
  readonly dns_id: string;
  readonly flags: number;
  /** −1: none. */
  readonly icmp_type: number;
  /** As in a count; −1: none. */
  readonly latency: number;
  readonly flows: string;
  readonly latency_sum_us: string;
}

/** Where a connection begins, ends or is denied: other rows would count its flags or its type again. */
const MARKS = [FLOW_EVENT.new, FLOW_EVENT.closed, FLOW_EVENT.dropped].join();
const LATENCY = `if(http_id > 0 AND latency_us > 0, toInt32(arrayCount(bound -> latency_us > bound, [${COUNTED_LATENCIES_US.join()}])), -1)`;
const FLAGS = `bitAnd(tcp_flags, ${COUNTED_TCP_FLAGS})`;

function countRows(question: TenantQuestion, context: TenantContext, query: Pick<FlowQuery, 'clusterId'>, batches: readonly BatchRow[]): Promise<readonly CountRow[]> {
  const conditions = [
    ...batchConditions(question, batches),
    `http_id > 0 OR dns_id > 0 OR (event IN (${MARKS}) AND (protocol IN (1, 58) OR (protocol = 6 AND ${FLAGS} != 0)))`,
    ...inScope(question, context, query.clusterId),
  ];
  const key = 'event, verdict, direction, protocol, is_reply, source_id, destination_id, http_id, http_status, dns_id, flags, icmp_type, latency';
  return question.rows<CountRow>(
    `SELECT event, verdict, direction, protocol, is_reply, source_id, destination_id, http_id, http_status, dns_id,
        if(protocol = 6 AND http_id = 0 AND dns_id = 0, toInt32(${FLAGS}), 0) AS flags, if(protocol IN (1, 58), toInt32(destination_port), -1) AS icmp_type,
        ${LATENCY} AS latency, sum(toUInt64(weight)) AS flows, sum(if(http_id > 0, toUInt64(latency_us) * weight, 0)) AS latency_sum_us
      ${question.from('flow', conditions)} GROUP BY ${key}`,
  );
}

/** Names take the place of ids; what is alike then is one count. */
async function nameCounts(ask: () => TenantQuestion, rows: readonly CountRow[]): Promise<FlowCount[]> {
  const [peers, requests, answers] = await Promise.all([
    loadEntries(ask, 'flow_peer', rows.flatMap((row) => [row.source_id, row.destination_id])),
    loadEntries(ask, 'flow_http', rows.map((row) => row.http_id)),
    loadEntries(ask, 'flow_dns', rows.map((row) => row.dns_id)),
  ]);
  const end = (id: string): FlowCount['source'] => {
    const { namespace, workload } = partyFields(peerRow(peers, id));
    return { ...(namespace === undefined ? {} : { namespace }), ...(workload === undefined ? {} : { workload }) };
  };
  const counts = new Map<string, FlowCount>();
  for (const row of rows) {
    const request = requests.get(row.http_id);
    const answer = answers.get(row.dns_id);
    const alike: Omit<FlowCount, 'flows' | 'latencyUs'> = {
      event: eventName(row.event),
      verdict: verdictName(row.verdict),
      direction: directionName(row.direction),
      protocol: row.protocol,
      isReply: row.is_reply === 1,
      ipv6: peers.get(row.source_id)?.address.includes(':') ?? false,
      source: end(row.source_id),
      destination: end(row.destination_id),
      tcpFlags: row.flags,
      ...(row.icmp_type < 0 ? {} : { icmpType: row.icmp_type }),
      ...(request === undefined ? {} : { http: { method: request.method, ...(row.http_status === 0 ? {} : { status: row.http_status }), ...(row.latency < 0 ? {} : { latency: row.latency }) } }),
      ...(answer === undefined ? {} : { dns: { rcode: answer.rcode, ...addressFamilies(answer.addresses) } }),
    };
    const key = JSON.stringify(alike);
    const known = counts.get(key);
    counts.set(key, { ...alike, flows: (known?.flows ?? 0) + Number(row.flows), latencyUs: (known?.latencyUs ?? 0) + Number(row.latency_sum_us) });
  }
  return [...counts.values()];
}

function addressFamilies(addresses: readonly string[]): { ipv4Answers: number; ipv6Answers: number } {
  const ipv6Answers = addresses.filter((address) => address.includes(':')).length;
  return { ipv4Answers: addresses.length - ipv6Answers, ipv6Answers };
}
