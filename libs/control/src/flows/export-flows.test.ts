import { Readable } from 'node:stream';
import { EVERY_FLOW, type FlowRecord } from '@palisade/flow';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import type { AuditEntry, AuditLog } from '../audit/audit-log.ts';
import { ExportFlows } from './export-flows.ts';
import type { FlowPage, FlowQuery, FlowReader } from './flow-store.ts';
import { ReadFlows } from './read-flows.ts';

const context = systemContext(parseTenantId('00000000-0000-7000-8000-000000000001'), 'test');
const flow: FlowRecord = {
  event: 'delta', source: { address: '10.0.0.1', port: 1, identity: 1, labels: [] }, destination: { address: '10.0.0.2', port: 2, identity: 2, labels: [] }, protocol: 6, direction: 'egress', node: 'n',
  verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, firstSeenUs: 1, lastSeenUs: 1, tcpFlags: 0, generation: '', policyRevision: 0, identityRevision: 0, origin: 'ebpf', weight: 1,
};

/** Has a million flows and counts what is read of them. */
class CountingReader implements Pick<FlowReader, 'list'> {
  read = 0;
  list(_: unknown, { limit, after }: FlowQuery): Promise<FlowPage> {
    const start = after === undefined ? 0 : after.lastSeenUs;
    this.read += limit;
    const flows = Array.from({ length: limit }, (_flow, index) => ({ ...flow, id: String(start + index), clusterId: 'c' }));
    const end = start + limit;
    return Promise.resolve({ flows, coverage: { complete: true, lost: 0, sampled: 0, losses: {} }, ...(end >= 1_000_000 ? {} : { next: { lastSeenUs: end, batch: '0', row: 0 } }) });
  }
}

function exportOf(reader: CountingReader, entries: AuditEntry[] = []): ExportFlows {
  const audit: AuditLog = { append: (entry) => Promise.resolve(void entries.push(entry)), appendAll: (all) => Promise.resolve(void entries.push(...all)) };
  return new ExportFlows({ flows: new ReadFlows({ flows: reader as unknown as FlowReader }), unitOfWork: { run: (_, work) => work({ audit }) } });
}

const question = { selection: EVERY_FLOW, sinceUs: 0, untilUs: 1_000_000_000 };

describe('exporting flows', () => {
  it('reads as many flows as are taken, and one page more at most', async () => {
    const reader = new CountingReader();
    const { pages } = await exportOf(reader).execute(context, question, 'ndjson');
    let taken = 0;
    for await (const { flows } of pages) {
      taken += flows.length;
      expect(reader.read - taken).toBeLessThanOrEqual(1_000);
    }
    expect(taken).toBe(1_000_000);
  });

  it('reads no further while nobody takes from the stream', async () => {
    const reader = new CountingReader();
    const { pages } = await exportOf(reader).execute(context, question, 'ndjson');
    async function* text(): AsyncGenerator<string> {
      for await (const { flows } of pages) yield flows.map(({ id }) => `${id}\n`).join('');
    }
    const stream = Readable.from(text(), { objectMode: false });
    stream.once('readable', () => undefined);
    for (let turn = 0; turn < 200; turn++) await new Promise((done) => setImmediate(done));
    expect(reader.read).toBeLessThan(20_000);
    stream.destroy();
  });

  it('tells the audit log before the first flow leaves, and says when it goes on with another', async () => {
    const entries: AuditEntry[] = [];
    const exporting = exportOf(new CountingReader(), entries);
    await exporting.execute(context, question, 'ocsf');
    await exporting.execute(context, { ...question, after: { lastSeenUs: 5, batch: '0', row: 0 } }, 'ocsf');
    expect(entries).toMatchObject([{ action: 'flows.exported', details: { format: 'ocsf' } }, { action: 'flows.exported', summary: expect.stringContaining('going on') }]);
  });
});
