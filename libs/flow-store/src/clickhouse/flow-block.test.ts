import { parseTenantId } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import { FoldedEdges } from '../folded-edges.ts';
import { BACKEND, sampleFlow, sent } from '../testing/sample-flows.ts';
import { ContentIds } from './content-id.ts';
import { flowBlock, prepareBatch } from './flow-block.ts';

const SENDER = { tenantId: parseTenantId('01999999-0000-7000-8000-000000000001'), clusterId: '01999999-0000-7000-8000-0000000000c1', nodeId: '01999999-0000-7000-8000-0000000000d1' };
const ROWS = 6_000;

describe('a block with more edges than a commit tells apart', () => {
  it('tells of the flows that are summed up as other, and of about how many edges they have, once each', () => {
    const ids = new ContentIds();
    const batch = (firstPort: number, event: 'delta' | 'l7' = 'delta') =>
      prepareBatch(sent(SENDER, 'boot', 1, Array.from({ length: ROWS }, (_, index) => sampleFlow(1_800_000_000_000_000, { event, destination: { ...BACKEND, port: firstPort + index } }))), Array.from({ length: ROWS }, (_, row) => row), ids);
    const folded = new FoldedEdges();
    for (const rows of [2_000, 4_000]) {
      flowBlock([batch(1), batch(6_001)], ['1', '2'], folded);
      expect(folded.rows).toBe(rows);
      expect(Math.abs(folded.edges - 2_000)).toBeLessThanOrEqual(100);
    }
    // Flows that no sum takes are not summed up as other either.
    flowBlock([batch(1), batch(6_001, 'l7')], ['3', '4'], folded);
    expect(folded.rows).toBe(4_000);
  });
});
