import { directionName, dropReasonName, eventName, originName, verdictName, type FlowEnd, type FlowPeer, type FlowPolicy } from '@palisade/flow';
import type { StoredFlow } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { DictionaryTable } from './schema/dictionary-tables.ts';
import { FLOW_COLUMNS_SQL } from './schema/flow-tables.ts';
import type { TenantQuestion } from './tenant-question.ts';

type Wide = 'UInt64' | 'UUID';
/** A row of `flow` as the server gives it: 64-bit numbers as text. */
export type FlowRow = { readonly [Column in keyof typeof FLOW_COLUMNS_SQL]: (typeof FLOW_COLUMNS_SQL)[Column] extends Wide ? string : number };

export const FLOW_ROW_COLUMNS = Object.keys(FLOW_COLUMNS_SQL).filter((name) => name !== 'tenant_id').join(', ');

interface PeerRow {
  readonly id: string;
  readonly address: string;
  readonly identity: string;
  readonly labels: readonly string[];
  readonly namespace: string | null;
  readonly workload: string | null;
  readonly cluster: string | null;
  readonly node: string | null;
  readonly dns_names: readonly string[];
}

interface Rows {
  flow_peer: PeerRow;
  flow_observer: { id: string; node: string; interface: string | null };
  flow_stamp: { id: string; generation: string; policy_revision: string; identity_revision: string; origin: number };
  flow_policy_set: { id: string; policies: string };
  flow_process: { id: string; binary: string; uid: string; container: string | null; arguments: string | null };
  flow_http: { id: string; method: string; path: string };
  flow_dns: { id: string; query: string; addresses: string[]; rcode: number };
}

const SELECT: Readonly<Record<DictionaryTable, string>> = {
  flow_peer: 'id, address, identity, labels, namespace, workload, cluster, node, dns_names',
  flow_observer: 'id, node, interface',
  flow_stamp: 'id, generation, policy_revision, identity_revision, origin',
  flow_policy_set: 'id, policies',
  flow_process: 'id, binary, uid, container, arguments',
  flow_http: 'id, method, path',
  flow_dns: 'id, query, addresses, rcode',
};

type Entries<Table extends DictionaryTable> = ReadonlyMap<string, Rows[Table]>;

/** Entries asked for in one statement. */
const PORTION = 2_000;

/** Entries of a dictionary by id. An entry that is stored twice until it is merged counts once. */
export async function loadEntries<Table extends DictionaryTable>(ask: () => TenantQuestion, table: Table, ids: Iterable<string>): Promise<Entries<Table>> {
  const wanted = [...new Set(ids)].filter((id) => id !== '0');
  const found = new Map<string, Rows[Table]>();
  for (let at = 0; at < wanted.length; at += PORTION) {
    const question = ask();
    const list = wanted.slice(at, at + PORTION).map((id) => BigInt(id).toString());
    const rows = await question.rows<Rows[Table]>(`SELECT ${SELECT[table]} ${question.from(table, [`id IN (${list.join(', ')})`])}`);
    for (const row of rows) found.set(row.id, row);
  }
  return found;
}

function entry<Table extends DictionaryTable>(entries: Entries<Table>, id: string): Rows[Table] {
  const found = entries.get(id);
  // Entries land before the rows that name them; only a replica that lags behind can lack one.
  if (found === undefined) throw new DomainError('service.unavailable', 'This ClickHouse replica lags behind; try again in a moment.');
  return found;
}

export function partyFields(row: PeerRow) {
  return {
    identity: Number(row.identity),
    labels: row.labels,
    ...(row.namespace === null ? {} : { namespace: row.namespace }),
    ...(row.workload === null ? {} : { workload: row.workload }),
    ...(row.cluster === null ? {} : { cluster: row.cluster }),
    ...(row.dns_names.length === 0 ? {} : { dnsNames: row.dns_names }),
  };
}

function peerOf(row: PeerRow): FlowPeer {
  return { address: row.address, ...partyFields(row), ...(row.node === null ? {} : { node: row.node }) };
}

interface Dictionaries {
  readonly peers: Entries<'flow_peer'>;
  readonly observers: Entries<'flow_observer'>;
  readonly stamps: Entries<'flow_stamp'>;
  readonly policySets: Entries<'flow_policy_set'>;
  readonly processes: Entries<'flow_process'>;
  readonly http: Entries<'flow_http'>;
  readonly dns: Entries<'flow_dns'>;
}

/** Gives rows their names back. */
export async function nameFlows(ask: () => TenantQuestion, rows: readonly FlowRow[]): Promise<StoredFlow[]> {
  if (rows.length === 0) return [];
  const load = <Table extends DictionaryTable>(table: Table, ...columns: readonly (keyof FlowRow)[]): Promise<Entries<Table>> =>
    loadEntries(ask, table, rows.flatMap((row) => columns.map((column) => String(row[column]))));
  const [peers, observers, stamps, policySets, processes, http, dns] = await Promise.all([
    load('flow_peer', 'source_id', 'destination_id'), load('flow_observer', 'observer_id'), load('flow_stamp', 'stamp_id'),
    load('flow_policy_set', 'policy_set_id'), load('flow_process', 'process_id'), load('flow_http', 'http_id'), load('flow_dns', 'dns_id'),
  ]);
  return rows.map((row) => toFlow(row, { peers, observers, stamps, policySets, processes, http, dns }));
}

export function policiesOf(entries: Entries<'flow_policy_set'>, id: string): readonly FlowPolicy[] {
  return id === '0' ? [] : (JSON.parse(entry(entries, id).policies) as FlowPolicy[]);
}

export function peerRow(entries: Entries<'flow_peer'>, id: string): PeerRow {
  return entry(entries, id);
}

function toFlow(row: FlowRow, dictionaries: Dictionaries): StoredFlow {
  const observer = entry(dictionaries.observers, row.observer_id);
  const stamp = entry(dictionaries.stamps, row.stamp_id);
  const dropReason = dropReasonName(row.drop_reason);
  const lastSeenUs = Number(row.last_seen_us);
  const end = (id: string, port: number): FlowEnd => ({ ...peerOf(entry(dictionaries.peers, id)), port });
  return {
    id: `${row.batch_id}-${row.row}`,
    clusterId: row.cluster_id,
    event: eventName(row.event),
    source: end(row.source_id, row.source_port),
    destination: end(row.destination_id, row.destination_port),
    protocol: row.protocol,
    direction: directionName(row.direction),
    node: observer.node,
    ...(observer.interface === null ? {} : { interface: observer.interface }),
    verdict: verdictName(row.verdict),
    ...(dropReason === undefined ? {} : { dropReason }),
    policies: policiesOf(dictionaries.policySets, row.policy_set_id),
    ...(row.shadow_verdict === 0 ? {} : { shadowVerdict: verdictName(row.shadow_verdict) }),
    isReply: row.is_reply === 1,
    packets: Number(row.packets),
    bytes: Number(row.bytes),
    replyPackets: Number(row.reply_packets),
    replyBytes: Number(row.reply_bytes),
    firstSeenUs: lastSeenUs - Number(row.duration_us),
    lastSeenUs,
    tcpFlags: row.tcp_flags,
    ...(row.rtt_us === 0 ? {} : { rttUs: row.rtt_us }),
    ...layers(row, dictionaries),
    generation: stamp.generation,
    policyRevision: Number(stamp.policy_revision),
    identityRevision: Number(stamp.identity_revision),
    origin: originName(stamp.origin),
    weight: row.weight,
  };
}

function layers(row: FlowRow, dictionaries: Dictionaries): Pick<StoredFlow, 'process' | 'http' | 'dns'> {
  const latency = row.latency_us === 0 ? {} : { latencyUs: row.latency_us };
  const status = row.http_status === 0 ? {} : { status: row.http_status };
  return {
    ...(row.process_id === '0' ? {} : { process: processOf(entry(dictionaries.processes, row.process_id), row.pid) }),
    ...(row.http_id === '0' ? {} : { http: { ...withoutId(entry(dictionaries.http, row.http_id)), ...status, ...latency } }),
    ...(row.dns_id === '0' ? {} : { dns: { ...withoutId(entry(dictionaries.dns, row.dns_id)), ...latency } }),
  };
}

function withoutId<Entry extends { readonly id: string }>({ id: _id, ...content }: Entry): Omit<Entry, 'id'> {
  return content;
}

function processOf({ binary, uid, container, arguments: line }: Rows['flow_process'], pid: number): NonNullable<StoredFlow['process']> {
  return { binary, pid, uid: Number(uid), ...(container === null ? {} : { container }), ...(line === null ? {} : { arguments: line }) };
}
