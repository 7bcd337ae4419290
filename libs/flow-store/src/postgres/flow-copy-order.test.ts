import { columnsOf } from '@palisade/flow';
import { describe, expect, it } from 'vitest';
import { uuidWords, type CopySource } from './flow-copy.ts';
import { indexOrder } from './flow-copy-order.ts';
import { sampleFlow } from '../testing/sample-flows.ts';

const START_US = 1_800_000_000_000_000;
const [ACME, GLOBEX] = ['01999999-0000-7000-8000-000000000001', '01999999-0000-7000-8000-000000000002'] as const;

/** So many rows a microsecond apart. */
function source(tenant: string, batchId: number, rows: number, over: Partial<CopySource> = {}): CopySource {
  const none = new Int32Array(10);
  const columns = columnsOf(Array.from({ length: rows }, (_, row) => sampleFlow(START_US + row)));
  return { tenant: uuidWords(tenant), batchId, columns, ids: { peers: none, observers: none, stamps: none, policySets: none, processes: none, httpRequests: none, dnsAnswers: none }, ...over };
}

const told = (sources: readonly CopySource[]): string[] => indexOrder(sources).map(({ source: { batchId }, from, to }) => `${batchId}: ${from}-${to}`);

describe('the order in which a commit is written', () => {
  it('goes through the batches of a tenant side by side in time, tenant after tenant', () => {
    expect(told([source(ACME, 1, 70), source(GLOBEX, 2, 40), source(ACME, 3, 64)])).toEqual(['1: 0-32', '3: 0-32', '1: 32-64', '3: 32-64', '1: 64-70', '2: 0-32', '2: 32-40']);
  });

  it('has every row once, also of a batch of which only some are of the day', () => {
    const sources = [source(ACME, 1, 100), source(ACME, 2, 100, { rows: Uint16Array.from({ length: 45 }, (_, index) => index * 2) }), source(ACME, 3, 0), source(GLOBEX, 4, 33)];
    const rows = indexOrder(sources).flatMap(({ source: one, from, to }) => Array.from({ length: to - from }, (_, index) => `${one.batchId} ${one.rows?.[from + index] ?? from + index}`));
    expect(rows).toHaveLength(178);
    expect(new Set(rows).size).toBe(178);
    expect(rows).toContain('2 88');
  });
});
