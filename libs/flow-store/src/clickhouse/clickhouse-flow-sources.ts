import type { FlowSourceNode, FlowSources } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import { clusterCondition } from './actor-scope.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import { TenantQuestion } from './tenant-question.ts';

const MAX_NAMESPACES = 10_000;
const MAX_NODES = 20_000;

/** Reads the batches that have landed: who reported when, and how much. */
export class ClickHouseFlowSources implements FlowSources {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;

  constructor(session: ClickHouseSession, layout: ClickHouseLayout) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
  }

  async nodes(context: TenantContext, sinceUs: number): Promise<readonly FlowSourceNode[]> {
    const question = new TenantQuestion(this.#session, this.#words, context);
    const from = question.from('flow_batch', [`received_us >= ${question.add('UInt64', Math.max(0, Math.trunc(sinceUs)))}`, ...clusterCondition(context, undefined, question)]);
    const rows = await question.rows<{ node_id: string; cluster_id: string; name: string; last_us: string; since_us: string; stored: string; seen_flows: string }>(
      `SELECT node_id, cluster_id, argMax(node, batch_id * (node != '')) AS name, max(received_us) AS last_us, min(window_start_us) AS since_us, sum(rows) AS stored, sum(seen) AS seen_flows
        ${from} GROUP BY node_id, cluster_id ORDER BY name, node_id LIMIT ${MAX_NODES}`,
    );
    return rows.map((row) => ({
      nodeId: row.node_id, clusterId: row.cluster_id, name: row.name === '' ? row.node_id : row.name, lastReportUs: Number(row.last_us),
      countedSinceUs: Math.max(sinceUs, Number(row.since_us)),
      storedFlows: Number(row.stored), seenFlows: Number(row.seen_flows),
    }));
  }

  async namespaces(context: TenantContext, sinceUs: number): Promise<readonly { cluster: string; namespace: string }[]> {
    const question = new TenantQuestion(this.#session, this.#words, context);
    const { namespaces } = context.actor.scope;
    const recent = (): string[] => [
      `bucket >= toDateTime(${question.add('UInt64', Math.max(0, Math.floor(sinceUs / 1e6) - 60))}, 'UTC')`, ...clusterCondition(context, undefined, question),
    ];
    const seen = ['source_id', 'destination_id'].map((end) => question.within('id', end, 'flow_edge_minute', recent()));
    const bound = namespaces === 'all' ? [] : [`has(${question.add('Array(String)', namespaces)}, assumeNotNull(namespace))`];
    const rows = await question.rows<{ cluster_name: string; namespace_name: string }>(
      `SELECT DISTINCT ifNull(cluster, '') AS cluster_name, assumeNotNull(namespace) AS namespace_name ${question.from('flow_peer', ['isNotNull(namespace)', seen.join(' OR '), ...bound])}
        ORDER BY cluster_name, namespace_name LIMIT ${MAX_NAMESPACES}`,
    );
    return rows.map((row) => ({ cluster: row.cluster_name, namespace: row.namespace_name }));
  }
}
