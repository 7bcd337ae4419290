import type { PoolClient } from 'pg';
import { int2Array, int4Array, int8Array, uuidArray } from './binary-arrays.ts';
import type { EDGE_KEY, EDGE_SUM, EdgeSums } from './edge-sums.ts';

const MINUTE_US = 60_000_000;

/** Appends the parts of one tenant, in the transaction of its flows. Zero stands for none where the table has NULL. */
export async function insertEdgeParts(client: PoolClient, tenantId: string, parts: EdgeSums): Promise<void> {
  const { length } = parts;
  if (length === 0) return;
  const key = (field: keyof typeof EDGE_KEY) => (part: number) => parts.key(part, field);
  const sum = (field: keyof typeof EDGE_SUM) => int8Array(length, (part) => parts.sum(part, field));
  const latencies = Array.from({ length }, (_, part) => {
    const latency = parts.latency(part);
    return latency === undefined ? null : `{${latency.join()}}`;
  });
  await client.query({
    name: 'flow-edge-parts',
    text: `INSERT INTO palisade.flow_edge_minute (tenant_id, bucket, cluster_id, source_id, destination_id, port, protocol, verdict, drop_reason,
        policy_set_id, flows, packets, bytes, reply_packets, reply_bytes, http_requests, http_errors, http_latency, part)
      SELECT $1, timestamptz 'epoch' + t.bucket * interval '1 microsecond', t.cluster_id, t.source_id, t.destination_id, t.port, t.protocol,
        t.verdict, nullif(t.drop_reason, 0::smallint), nullif(t.policy_set_id, 0), t.flows, t.packets, t.bytes, t.reply_packets, t.reply_bytes,
        nullif(t.http_requests, 0), nullif(t.http_errors, 0), t.http_latency::integer[], true
      FROM unnest($2::bigint[], $3::uuid[], $4::integer[], $5::integer[], $6::integer[], $7::smallint[], $8::smallint[], $9::smallint[],
        $10::integer[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::text[])
        AS t(bucket, cluster_id, source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id, flows, packets, bytes,
          reply_packets, reply_bytes, http_requests, http_errors, http_latency)`,
    values: [
      tenantId, int8Array(length, (part) => parts.key(part, 'minute') * MINUTE_US), uuidArray(length, (part) => parts.clusterId(part)),
      int4Array(length, key('source')), int4Array(length, key('destination')), int4Array(length, key('port')), int2Array(length, key('protocol')),
      int2Array(length, key('verdict')), int2Array(length, key('dropReason')), int4Array(length, key('policySet')),
      sum('flows'), sum('packets'), sum('bytes'), sum('replyPackets'), sum('replyBytes'), sum('httpRequests'), sum('httpErrors'), latencies,
    ],
  });
}

const KEY = 'tenant_id, cluster_id, source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id';
const SUMS = `sum(flows)::bigint, sum(packets)::bigint, sum(bytes)::bigint, sum(reply_packets)::bigint, sum(reply_bytes)::bigint,
  sum(http_requests)::bigint, sum(http_errors)::bigint, palisade.flow_sum_histograms(http_latency)`;
const VALUES = 'flows, packets, bytes, reply_packets, reply_bytes, http_requests, http_errors, http_latency';

/** Moves finished parts of minutes into whole minutes, and adds them to their hours. One statement: all or nothing. */
export const COMPACT_MINUTES = `
  WITH moved AS (
    DELETE FROM palisade.flow_edge_minute WHERE part AND bucket < date_trunc('minute', now()) - interval '1 minute' RETURNING *
  ), minutes AS (
    INSERT INTO palisade.flow_edge_minute (bucket, ${KEY}, ${VALUES}, part)
    SELECT bucket, ${KEY}, ${SUMS}, false FROM moved GROUP BY bucket, ${KEY}
  ), hours AS (
    INSERT INTO palisade.flow_edge_hour (bucket, ${KEY}, ${VALUES}, part)
    SELECT date_trunc('hour', bucket), ${KEY}, ${SUMS}, true FROM moved GROUP BY date_trunc('hour', bucket), ${KEY}
  ) SELECT count(*)::integer AS moved FROM moved`;

/** Parts of hours that are over become whole hours. */
export const COMPACT_HOURS = `
  WITH moved AS (
    DELETE FROM palisade.flow_edge_hour WHERE part AND bucket < date_trunc('hour', now()) - interval '5 minutes' RETURNING *
  ), hours AS (
    INSERT INTO palisade.flow_edge_hour (bucket, ${KEY}, ${VALUES}, part)
    SELECT bucket, ${KEY}, ${SUMS}, false FROM moved GROUP BY bucket, ${KEY}
  ) SELECT count(*)::integer AS moved FROM moved`;
