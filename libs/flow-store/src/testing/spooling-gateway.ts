/**
 * A gateway's part as a process of its own, to be killed: takes batches `from`… in order, says each number when it is
 * acknowledged, and lands what is in its spool.
 * Usage: node spooling-gateway.ts LEDGER_URL CLICKHOUSE_URL DATABASE SPOOL TENANT NODE BOOT FROM COUNT START_US
 */
import { parseTenantId } from '@palisade/tenancy';
import pg from 'pg';
import { clickHouseFlowSink } from '../open-flow-store.ts';
import { sampleFlow, sent } from './sample-flows.ts';

const [ledgerUrl = '', url = '', database = '', spoolDir = '', tenant = '', nodeId = '', bootId = '', from = '1', count = '0', startUs = '0'] = process.argv.slice(2);
const ROWS = 20;

const ledger = new pg.Pool({ connectionString: ledgerUrl, max: 2 });
const { sink, close } = await clickHouseFlowSink({ url, database }, { ledger, spoolDir });
const sender = { tenantId: parseTenantId(tenant), clusterId: nodeId, nodeId };
for (let seq = Number(from); seq < Number(from) + Number(count); seq++) {
  const flows = Array.from({ length: ROWS }, (_, row) => sampleFlow(Number(startUs) + row, { event: 'dropped', verdict: 'dropped', bytes: seq }));
  const [outcome] = await sink.append([sent(sender, bootId, seq, flows)]);
  process.stdout.write(`${outcome?.kind ?? 'nothing'} ${seq}\n`);
}
await sink.flush();
await close();
await ledger.end();
