import { columnsOf, type FlowRecord } from '@palisade/flow';
import { describe, expect, it } from 'vitest';
import { copyChunks, copyColumns, uuidWords, type CopySource } from './flow-copy.ts';
import { copyParts } from './flow-copy-parts.ts';
import { sampleFlow } from '../testing/sample-flows.ts';

const flow = (over: Partial<FlowRecord> = {}): FlowRecord => sampleFlow(1_800_000_000_000_000, over);
const HTTP = { method: 'GET', path: '/', status: 200, latencyUs: 700 };

function source(flows: readonly FlowRecord[], rows?: readonly number[]): CopySource {
  const columns = columnsOf(flows);
  const none = new Int32Array(10);
  return {
    tenant: uuidWords('01999999-0000-7000-8000-000000000001'), batchId: 1, columns,
    ids: { peers: none, observers: none, stamps: none, policySets: none, processes: none, httpRequests: none, dnsAnswers: none },
    ...(rows === undefined ? {} : { rows: Uint16Array.from(rows) }),
  };
}

function rowsOf(sources: readonly CopySource[]): number[][] {
  return sources.map(({ rows, columns }) => (rows === undefined ? Array.from({ length: columns.rows }, (_, row) => row) : [...rows]));
}

/** Fields of the first row, and how many bytes the whole COPY has. */
function written(parts: ReturnType<typeof copyParts>): { fields: number; bytes: number }[] {
  return parts.map(({ sources, seldom }) => {
    const bytes = Buffer.concat([...copyChunks(sources, seldom)]);
    return { fields: bytes.readInt16BE(19), bytes: bytes.length };
  });
}

describe('rows of a commit', () => {
  it('go out apart where they tell of layer 7, each with the columns that one of them has', () => {
    const parts = copyParts([source([flow(), flow({ http: HTTP }), flow({ rttUs: 90 })])]);
    expect(parts.map(({ sources }) => rowsOf(sources))).toEqual([[[0, 2]], [[1]]]);
    expect(parts.map(({ seldom }) => copyColumns(seldom).slice(23))).toEqual([['rtt_us'], ['http_id', 'latency_us', 'http_status']]);
    expect(written(parts).map(({ fields }) => fields)).toEqual([24, 26]);
  });

  it('have no column more than all flows have when none of them has a seldom value', () => {
    const [part] = copyParts([source([flow(), flow()]), source([flow()])]);
    expect(copyColumns(part?.seldom ?? expect.fail('no part'))).toHaveLength(23);
  });

  it('keep a weight, a shadow verdict and a process', () => {
    const [part] = copyParts([source([flow({ weight: 8, shadowVerdict: 'dropped', process: { binary: '/bin/x', pid: 7, uid: 0 } })])]);
    expect(copyColumns(part?.seldom ?? expect.fail('no part')).slice(23)).toEqual(['process_id', 'pid', 'weight', 'shadow_verdict']);
  });

  it('of another day stay out of both parts', () => {
    const flows = [flow({ http: HTTP }), flow(), flow({ http: HTTP }), flow()];
    expect(copyParts([source(flows, [0, 1])]).map(({ sources }) => rowsOf(sources))).toEqual([[[1]], [[0]]]);
    expect(copyParts([source(flows, [])])).toEqual([]);
  });

  it('are one COPY where all tell of layer 7', () => {
    expect(copyParts([source([flow({ http: HTTP })])]).map(({ sources }) => rowsOf(sources))).toEqual([[[0]]]);
  });
});
