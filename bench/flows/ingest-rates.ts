/**
 * Rounds of the gateway's path (bytes → decode → queue → dictionaries → ledger, rows and sums in one commit) against the
 * ceiling: the same rows as pre-encoded binary COPY into the same tables with the same indexes, commit sizes, connections and
 * fsync. Interleaved, in one process.
 */
import { randomUUID } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { IngestFlowBatch } from '@palisade/control';
import { PostgresFlowSink } from '@palisade/flow-store';
import { decodeFlowBatch, encodeFlowBatch } from '@palisade/protocol';
import { parseTenantId, type TenantId } from '@palisade/tenancy';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { BenchDatabase, BenchServer } from './database.ts';
import { Traffic } from './traffic.ts';

export const TENANT: TenantId = parseTenantId('01999999-0000-7000-8000-000000000001');
export const CLUSTER = '01999999-0000-7000-8000-0000000000c1';

const CONNECTIONS = 3;
/** Batches that an agent with full credit has under way. */
const UNDER_WAY = 4;

export interface IngestRates {
  readonly gatewayRates: readonly number[];
  readonly ceilingRates: readonly number[];
  readonly ratios: readonly number[];
  readonly flowsPerCpuSecond: number;
  readonly wireBytesPerFlow: number;
  /** Processor time, microseconds a row, medians: gateway, all PostgreSQL processes under it, and under the ceiling. */
  readonly gatewayCpuUs: number;
  readonly postgresCpuUs: number;
  readonly ceilingCpuUs: number;
}

export interface IngestPlan {
  readonly rounds: number;
  readonly agents: number;
  readonly batchesPerAgent: number;
  readonly rowsPerBatch: number;
}

/** When a round's last flow is seen: now, or just after midnight, for the ceiling copies the rows of one day. */
export function endOfRound(): number {
  const now = Date.now();
  return Math.max(now, new Date(now).setUTCHours(0, 0, 2, 0)) * 1000;
}

/** What agents would send in one round, encoded. */
export function encodeRound(plan: IngestPlan, seed: number, endUs: number): Uint8Array[] {
  return Array.from({ length: plan.agents }, (_, agent) => {
    const traffic = new Traffic(seed * 1000 + agent, agent);
    const bootId = randomUUID();
    return Array.from({ length: plan.batchesPerAgent }, (__, index) => encodeFlowBatch(traffic.batch(bootId, index + 1, plan.rowsPerBatch, endUs)));
  }).flat();
}

/** Takes batches as the gateway does, so many at once. @returns seconds until the last one was acknowledged */
export async function throughGateway(ingest: IngestFlowBatch, batches: readonly Uint8Array[], underWay: number): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const agent = async (): Promise<void> => {
    for (let index = next++; index < batches.length; index = next++) {
      const batch = decodeFlowBatch(batches[index] as Uint8Array);
      const { outcome } = await ingest.execute({ sender: { tenantId: TENANT, clusterId: CLUSTER, nodeId: batch.bootId }, batch });
      if (outcome.kind !== 'stored') throw new Error(`A batch was ${outcome.kind}: ${JSON.stringify(outcome)}`);
    }
  };
  await Promise.all(Array.from({ length: underWay }, agent));
  return (performance.now() - startedAt) / 1000;
}

function leafName(us: number): string {
  return `palisade.flow_${new Date(us / 1000).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

/** The rows that the gateway stored since, as binary COPY chunks: one for each of its commits, with that commit's rows. */
async function capture(adminUrl: string, firstBatch: string, leaf: string): Promise<Buffer[]> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rows: commits } = await client.query<{ batches: string[] }>(
      'SELECT array_agg(batch_id::text) AS batches FROM palisade.flow_batch WHERE batch_id > $1 GROUP BY commit_order ORDER BY commit_order', [firstBatch],
    );
    const captured: Buffer[] = [];
    for (const { batches } of commits) {
      const parts: Buffer[] = [];
      const sql = `COPY (SELECT * FROM ${leaf} WHERE batch_id IN (${batches.join()}) ORDER BY batch_id, "row") TO STDOUT (FORMAT binary)`;
      for await (const part of client.query(copyTo(sql)) as AsyncIterable<Buffer>) parts.push(part);
      captured.push(Buffer.concat(parts));
    }
    return captured;
  } finally {
    await client.end();
  }
}

async function throughCopy(pool: pg.Pool, chunks: readonly Buffer[], leaf: string): Promise<number> {
  const startedAt = performance.now();
  let next = 0;
  const connection = async (): Promise<void> => {
    const client = await pool.connect();
    try {
      for (let index = next++; index < chunks.length; index = next++) {
        await client.query('BEGIN');
        await pipeline(Readable.from([chunks[index] as Buffer]), client.query(copyFrom(`COPY ${leaf} FROM STDIN (FORMAT binary)`)));
        await client.query('COMMIT');
      }
    } finally {
      client.release();
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  return (performance.now() - startedAt) / 1000;
}

async function lastBatch(adminUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  const { rows } = await client.query<{ id: string }>('SELECT coalesce(max(batch_id), 0) AS id FROM palisade.flow_batch');
  await client.end();
  return rows[0]?.id ?? '0';
}

export async function measureIngest(server: BenchServer, gateway: BenchDatabase, ceiling: BenchDatabase, plan: IngestPlan): Promise<IngestRates> {
  const ingestPool = new pg.Pool({ connectionString: gateway.ingestUrl, max: CONNECTIONS + 1 });
  const copyPool = new pg.Pool({ connectionString: ceiling.ingestUrl, max: CONNECTIONS });
  for (const pool of [ingestPool, copyPool]) pool.on('error', () => undefined);
  const ingest = new IngestFlowBatch({ sink: new PostgresFlowSink(ingestPool), options: { commits: CONNECTIONS, queueRows: 400_000, tenantRows: 400_000 } });
  const rows = plan.agents * plan.batchesPerAgent * plan.rowsPerBatch;
  const result = { gatewayRates: [] as number[], ceilingRates: [] as number[], ratios: [] as number[], cpu: [] as number[], gatewayCpu: [] as number[], postgresCpu: [] as number[], ceilingCpu: [] as number[] };
  let bytes = 0;
  // The first flows of an agent bring all its names; what is measured is an agent that runs.
  await throughGateway(ingest, encodeRound({ ...plan, batchesPerAgent: 1 }, 99, endOfRound()), plan.agents);
  for (let round = 0; round < plan.rounds; round++) {
    const endUs = endOfRound();
    const batches = encodeRound(plan, round, endUs);
    bytes += batches.reduce((sum, batch) => sum + batch.length, 0);
    const first = await lastBatch(gateway.adminUrl);
    const postgresBefore = server.cpuSeconds();
    const ownBefore = process.cpuUsage();
    const seconds = await throughGateway(ingest, batches, plan.agents * UNDER_WAY);
    const { user, system } = process.cpuUsage(ownBefore);
    const own = (user + system) / 1e6;
    const cpu = own + server.cpuSeconds() - postgresBefore;
    const chunks = await capture(gateway.adminUrl, first, leafName(endUs));
    const ceilingBefore = server.cpuSeconds();
    const ceilingSeconds = await throughCopy(copyPool, chunks, leafName(endUs));
    const ceilingCpu = server.cpuSeconds() - ceilingBefore;
    result.gatewayRates.push(rows / seconds);
    result.ceilingRates.push(rows / ceilingSeconds);
    result.ratios.push(ceilingSeconds / seconds);
    result.cpu.push(rows / cpu);
    result.gatewayCpu.push((own * 1e6) / rows);
    result.postgresCpu.push(((cpu - own) * 1e6) / rows);
    result.ceilingCpu.push((ceilingCpu * 1e6) / rows);
    // As it goes: a run that is cut off has told what it measured.
    const us = (cpuSeconds: number): string => ((cpuSeconds * 1e6) / rows).toFixed(1);
    console.error(
      `round ${round + 1} of ${plan.rounds}: gateway ${Math.round(rows / seconds)} rows/s, ceiling ${Math.round(rows / ceilingSeconds)} rows/s, ratio ${(ceilingSeconds / seconds).toFixed(2)}; processor time a row: gateway ${us(own)} µs, PostgreSQL ${us(cpu - own)} µs, ceiling ${us(ceilingCpu)} µs; ${chunks.length} commits`,
    );
  }
  await ingestPool.end();
  await copyPool.end();
  return {
    gatewayRates: result.gatewayRates, ceilingRates: result.ceilingRates, ratios: result.ratios, flowsPerCpuSecond: median(result.cpu),
    wireBytesPerFlow: bytes / (rows * plan.rounds),
    gatewayCpuUs: median(result.gatewayCpu), postgresCpuUs: median(result.postgresCpu), ceilingCpuUs: median(result.ceilingCpu),
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;
}
