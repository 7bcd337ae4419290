import { directionName, dropReasonName, eventName, originName, verdictName, type FlowEnd, type FlowPeer, type FlowPolicy } from '@palisade/flow';
import type { StoredFlow } from '@palisade/control';
import type { PoolClient } from 'pg';

/** A row of `palisade.flow` as the driver gives it: bigint as text, NULL for zero where the migration says so. */
export interface FlowRow {
  readonly last_seen_us: string;
  readonly batch_id: string;
  readonly row: number;
  readonly packets: string;
  readonly bytes: string;
  readonly reply_packets: string | null;
  readonly reply_bytes: string | null;
  readonly duration_us: string | null;
  readonly source_id: number;
  readonly destination_id: number;
  readonly observer_id: number;
  readonly stamp_id: number;
  readonly policy_set_id: number | null;
  readonly process_id: number | null;
  readonly pid: number | null;
  readonly http_id: number | null;
  readonly dns_id: number | null;
  readonly rtt_us: number | null;
  readonly latency_us: number | null;
  readonly weight: number | null;
  readonly source_port: number;
  readonly destination_port: number;
  readonly protocol: number;
  readonly event: number;
  readonly direction: number;
  readonly verdict: number;
  readonly drop_reason: number | null;
  readonly shadow_verdict: number | null;
  readonly tcp_flags: number | null;
  readonly http_status: number | null;
  readonly is_reply: boolean;
}

/** Select list for `FlowRow` from `palisade.flow f`. */
export const FLOW_ROW_COLUMNS = `(extract(epoch FROM f.last_seen) * 1000000)::bigint AS last_seen_us, f.batch_id, f."row", f.packets, f.bytes,
  f.reply_packets, f.reply_bytes, f.duration_us, f.source_id, f.destination_id, f.observer_id, f.stamp_id, f.policy_set_id, f.process_id,
  f.pid, f.http_id, f.dns_id, f.rtt_us, f.latency_us, f.weight, f.source_port, f.destination_port, f.protocol, f.event, f.direction,
  f.verdict, f.drop_reason, f.shadow_verdict, f.tcp_flags, f.http_status, f.is_reply`;

/** Entries of all dictionaries in one statement: table, id, content. */
const LOAD = `
  SELECT 'peer' AS kind, id, jsonb_build_object('address', host(address), 'identity', identity, 'labels', labels, 'namespace', namespace,
    'workload', workload, 'cluster', cluster, 'node', node, 'dnsNames', dns_names) AS value FROM palisade.flow_peer WHERE id = ANY ($1::integer[])
  UNION ALL SELECT 'observer', id, jsonb_build_object('clusterId', cluster_id, 'node', node, 'interface', interface) FROM palisade.flow_observer WHERE id = ANY ($2::integer[])
  UNION ALL SELECT 'stamp', id, jsonb_build_object('generation', generation, 'policyRevision', policy_revision, 'identityRevision', identity_revision,
    'origin', origin) FROM palisade.flow_stamp WHERE id = ANY ($3::integer[])
  UNION ALL SELECT 'policies', id, policies FROM palisade.flow_policy_set WHERE id = ANY ($4::integer[])
  UNION ALL SELECT 'process', id, jsonb_build_object('binary', "binary", 'uid', uid, 'container', container, 'arguments', arguments) FROM palisade.flow_process WHERE id = ANY ($5::integer[])
  UNION ALL SELECT 'http', id, jsonb_build_object('method', method, 'path', path) FROM palisade.flow_http WHERE id = ANY ($6::integer[])
  UNION ALL SELECT 'dns', id, jsonb_build_object('query', query, 'addresses', addresses, 'rcode', rcode) FROM palisade.flow_dns WHERE id = ANY ($7::integer[])`;

interface Contents {
  peer: FlowPeer;
  observer: { clusterId: string; node: string; interface?: string };
  stamp: { generation: string; policyRevision: number; identityRevision: number; origin: number };
  policies: readonly FlowPolicy[];
  process: { binary: string; uid: number; container?: string; arguments?: string };
  http: { method: string; path: string };
  dns: { query: string; addresses: string[]; rcode: number };
}
type Kind = keyof Contents;

/** NULL columns and empty lists of names are absent properties of a flow. */
function present(value: unknown): unknown {
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key, one]) => one !== null && !(key === 'dnsNames' && (one as unknown[]).length === 0)));
}

class Dictionaries {
  readonly #values = new Map<string, unknown>();

  constructor(rows: readonly { kind: string; id: number; value: unknown }[]) {
    for (const { kind, id, value } of rows) this.#values.set(`${kind} ${id}`, present(value));
  }

  get<K extends Kind>(kind: K, id: number): Contents[K] {
    const value = this.#values.get(`${kind} ${id}`);
    if (value === undefined) throw new Error(`Flow dictionary ${kind} lacks entry ${id}.`);
    return value as Contents[K];
  }
}

function ids(rows: readonly FlowRow[], ...columns: readonly (keyof FlowRow)[]): number[] {
  return [...new Set(rows.flatMap((row) => columns.map((column) => row[column])))].filter((id) => typeof id === 'number');
}

/** Gives rows their names back. The client's transaction must be the one that read them. */
export async function nameFlows(client: PoolClient, rows: readonly FlowRow[]): Promise<StoredFlow[]> {
  if (rows.length === 0) return [];
  const loaded = await client.query<{ kind: string; id: number; value: unknown }>(LOAD, [
    ids(rows, 'source_id', 'destination_id'), ids(rows, 'observer_id'), ids(rows, 'stamp_id'), ids(rows, 'policy_set_id'),
    ids(rows, 'process_id'), ids(rows, 'http_id'), ids(rows, 'dns_id'),
  ]);
  const dictionaries = new Dictionaries(loaded.rows);
  return rows.map((row) => toFlow(row, dictionaries));
}

function end(dictionaries: Dictionaries, id: number, port: number): FlowEnd {
  return { ...dictionaries.get('peer', id), port };
}

function toFlow(row: FlowRow, dictionaries: Dictionaries): StoredFlow {
  const observer = dictionaries.get('observer', row.observer_id);
  const stamp = dictionaries.get('stamp', row.stamp_id);
  const dropReason = dropReasonName(row.drop_reason ?? 0);
  const lastSeenUs = Number(row.last_seen_us);
  return {
    id: `${row.batch_id}-${row.row}`,
    clusterId: observer.clusterId,
    event: eventName(row.event),
    source: end(dictionaries, row.source_id, row.source_port),
    destination: end(dictionaries, row.destination_id, row.destination_port),
    protocol: row.protocol,
    direction: directionName(row.direction),
    node: observer.node,
    ...(observer.interface === undefined ? {} : { interface: observer.interface }),
    verdict: verdictName(row.verdict),
    ...(dropReason === undefined ? {} : { dropReason }),
    policies: row.policy_set_id === null ? [] : dictionaries.get('policies', row.policy_set_id),
    ...(row.shadow_verdict === null ? {} : { shadowVerdict: verdictName(row.shadow_verdict) }),
    isReply: row.is_reply,
    packets: Number(row.packets),
    bytes: Number(row.bytes),
    replyPackets: Number(row.reply_packets ?? 0),
    replyBytes: Number(row.reply_bytes ?? 0),
    firstSeenUs: lastSeenUs - Number(row.duration_us ?? 0),
    lastSeenUs,
    tcpFlags: row.tcp_flags ?? 0,
    ...(row.rtt_us === null ? {} : { rttUs: row.rtt_us }),
    ...layers(row, dictionaries),
    generation: stamp.generation,
    policyRevision: stamp.policyRevision,
    identityRevision: stamp.identityRevision,
    origin: originName(stamp.origin),
    weight: row.weight ?? 1,
  };
}

function layers(row: FlowRow, dictionaries: Dictionaries): Pick<StoredFlow, 'process' | 'http' | 'dns'> {
  const latency = row.latency_us === null ? {} : { latencyUs: row.latency_us };
  const status = row.http_status === null ? {} : { status: row.http_status };
  return {
    ...(row.process_id === null ? {} : { process: { ...dictionaries.get('process', row.process_id), pid: row.pid ?? 0 } }),
    ...(row.http_id === null ? {} : { http: { ...dictionaries.get('http', row.http_id), ...status, ...latency } }),
    ...(row.dns_id === null ? {} : { dns: { ...dictionaries.get('dns', row.dns_id), ...latency } }),
  };
}
