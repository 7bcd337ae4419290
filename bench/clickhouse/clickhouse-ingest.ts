/** The gateway's path with ClickHouse: acknowledged when the ledger is committed and the spool fsynced, stored when landed. */
import { IngestFlowBatch } from '@palisade/control';
import type { RunningFlowSink } from '@palisade/flow-store';
import { processorSeconds } from '../fleet/processor-time.ts';
import type { BenchServer } from '../flows/database.ts';
import { encodeRound, endOfRound, median, throughGateway, type IngestPlan } from '../flows/ingest-rates.ts';

const COMMITS = 3;
/** Batches that an agent with full credit has under way. */
const UNDER_WAY = 4;

export interface ClickHouseIngestRates {
  readonly acknowledged_rows_per_s: number;
  readonly landed_rows_per_s: number;
  /** Rows by processor second of the gateway's part, the engine and all PostgreSQL processes. */
  readonly flows_per_core_s: number;
  readonly gateway_cpu_us_per_row: number;
  readonly engine_cpu_us_per_row: number;
  readonly postgres_cpu_us_per_row: number;
}

/** @param enginePid the engine's process, whose processor time counts */
export async function measureClickHouseIngest(server: BenchServer, { sink }: RunningFlowSink, enginePid: number, plan: IngestPlan): Promise<ClickHouseIngestRates> {
  const ingest = new IngestFlowBatch({ sink, options: { commits: COMMITS, queueRows: 400_000, tenantRows: 400_000 } });
  const rows = plan.agents * plan.batchesPerAgent * plan.rowsPerBatch;
  const rounds: Record<'acknowledged' | 'landed' | 'gateway' | 'engine' | 'postgres', number>[] = [];
  await throughGateway(ingest, encodeRound({ ...plan, batchesPerAgent: 1 }, 99, endOfRound()), plan.agents);
  await sink.flush();
  for (let round = 0; round < plan.rounds; round++) {
    const batches = encodeRound(plan, round, endOfRound());
    const before = { own: process.cpuUsage(), engine: processorSeconds(enginePid), postgres: server.cpuSeconds() };
    const startedAt = performance.now();
    const acknowledged = await throughGateway(ingest, batches, plan.agents * UNDER_WAY);
    await sink.flush();
    const landed = (performance.now() - startedAt) / 1000;
    const { user, system } = process.cpuUsage(before.own);
    const measured = { acknowledged, landed, gateway: (user + system) / 1e6, engine: processorSeconds(enginePid) - before.engine, postgres: server.cpuSeconds() - before.postgres };
    rounds.push(measured);
    console.error(`round ${round + 1} of ${plan.rounds}: ${Math.round(rows / acknowledged)} rows/s acknowledged, ${Math.round(rows / landed)} landed`);
  }
  const middle = (value: (round: (typeof rounds)[number]) => number): number => median(rounds.map(value));
  return {
    acknowledged_rows_per_s: middle(({ acknowledged }) => rows / acknowledged), landed_rows_per_s: middle(({ landed }) => rows / landed),
    flows_per_core_s: middle(({ gateway, engine, postgres }) => rows / (gateway + engine + postgres)),
    gateway_cpu_us_per_row: middle(({ gateway }) => (gateway * 1e6) / rows), engine_cpu_us_per_row: middle(({ engine }) => (engine * 1e6) / rows),
    postgres_cpu_us_per_row: middle(({ postgres }) => (postgres * 1e6) / rows),
  };
}
