import type { FlowExportPage, StoredFlow } from '@palisade/control';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { describe, expect, it } from 'vitest';
import { FLOW_TABLE } from './flow-columns.ts';
import { flowParquet } from './flow-parquet.ts';

const COVERAGE = { complete: false, lost: 3, sampled: 0, losses: { evicted: 3 } };
const END = { address: '10.0.0.1', port: 1, identity: 1, labels: [] };

function flow(index: number, over: Partial<StoredFlow> = {}): StoredFlow {
  return {
    id: `f${index}`, clusterId: 'c', event: 'delta', source: END, destination: { ...END, address: '2001:db8::1', workload: 'bäckend', namespace: 'shop' }, protocol: 6, direction: 'egress', node: 'n', verdict: 'forwarded',
    policies: [], isReply: false, packets: 1, bytes: index, replyPackets: 0, replyBytes: 0, firstSeenUs: 5, lastSeenUs: 1_795_700_000_123_456 + index, tcpFlags: 0, generation: '', policyRevision: 0, identityRevision: 0,
    origin: 'ebpf', weight: 1, ...over,
  };
}

function joined(chunks: readonly Uint8Array[]): Promise<ArrayBuffer> {
  return new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer();
}

async function fileOf(pages: AsyncGenerator<FlowExportPage>): Promise<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of flowParquet({ coverage: COVERAGE, pages })) chunks.push(chunk);
  return joined(chunks);
}

async function* pagesOf(...pages: StoredFlow[][]): AsyncGenerator<FlowExportPage> {
  for (const flows of pages) yield { flows };
}

describe('flows as Parquet', () => {
  it('come back from a reader with their types and empty cells, and with the coverage', async () => {
    const denied = flow(1, { verdict: 'dropped', dropReason: 'policy-denied', bytes: 2 ** 52, policies: [{ kind: 'K', namespace: 'shop', name: 'p', revision: 4, direction: 'egress' }] });
    const file = await fileOf(pagesOf([flow(0), denied], [flow(2, { http: { method: 'GET', path: '/', status: 200 } })]));
    const rows = await parquetReadObjects({ file });
    expect(rows).toHaveLength(3);
    expect(Object.keys(rows[0] ?? {})).toEqual(FLOW_TABLE.map(({ name }) => name));
    expect(rows[1]).toMatchObject({ id: 'f1', dropReason: 'policy-denied', bytes: 2n ** 52n, policies: 'K/shop/p@4#default-deny', destinationWorkload: 'bäckend', protocol: 'TCP' });
    expect(rows[1]?.['lastSeen']).toEqual(new Date('2026-11-26T13:33:20.123Z'));
    expect(rows[0]).toMatchObject({ dropReason: null, httpStatus: null, sourceWorkload: null });
    expect(rows[2]).toMatchObject({ httpMethod: 'GET', httpStatus: 200n });
    const [coverage] = parquetMetadata(file).key_value_metadata ?? [];
    expect(JSON.parse(coverage?.value ?? '')).toEqual(COVERAGE);
  });

  it('are a valid file also when there are none', async () => {
    expect(await parquetReadObjects({ file: await fileOf(pagesOf()) })).toEqual([]);
  });

  it('leave in row groups while pages are read, and only an index of them stays', async () => {
    let read = 0;
    async function* pages(): AsyncGenerator<FlowExportPage> {
      for (; read < 60_000; read += 1_000) yield { flows: Array.from({ length: 1_000 }, (_, index) => flow(read + index)) };
    }
    const chunks: Uint8Array[] = [];
    for await (const chunk of flowParquet({ coverage: COVERAGE, pages: pages() })) {
      chunks.push(chunk);
      expect(read).toBeLessThanOrEqual(chunks.length * 10_000);
    }
    expect(chunks).toHaveLength(7);
    expect(chunks.at(-1)?.length).toBeLessThan(30_000);
    const file = await joined(chunks);
    expect(parquetMetadata(file)).toMatchObject({ num_rows: 60_000n });
    expect((await parquetReadObjects({ file, columns: ['bytes'], rowStart: 34_567, rowEnd: 34_568 }))[0]).toEqual({ bytes: 34_567n });
  });
});
