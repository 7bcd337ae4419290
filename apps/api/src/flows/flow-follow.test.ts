import { ReadFlows, type FlowReader } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { EVERY_FLOW, type FlowCoverage } from '@palisade/flow';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import { followFlows, type CoveredWindow } from './flow-follow.ts';

const COVERAGE: FlowCoverage = { complete: false, lost: 2, sampled: 0, losses: { evicted: 2 } };
const context = systemContext(parseTenantId('00000000-0000-4000-8000-000000000001'), 'test');

/** A store to which nothing comes, and that answers about coverage as told. */
function quietReader(coverage: FlowReader['coverage']): ReadFlows {
  const flows: FlowReader = {
    list: () => Promise.reject(new Error('not asked')), now: () => Promise.resolve({ commit: '1', batch: '0' }),
    tail: (_, __, position) => Promise.resolve({ flows: [], position, more: true }), coverage,
  };
  return new ReadFlows({ flows });
}

async function windows(reader: ReadFlows, count: number, coverSinceUs?: number): Promise<CoveredWindow[]> {
  const gone = new AbortController();
  const found: CoveredWindow[] = [];
  const pace = { coverEveryMs: 1, ...(coverSinceUs === undefined ? {} : { coverSinceUs }) };
  for await (const { covered } of followFlows(reader, context, { selection: EVERY_FLOW }, { commit: '1', batch: '0' }, gone.signal, pace)) {
    if (covered !== undefined) found.push(covered);
    if (found.length === count) gone.abort();
  }
  return found;
}

describe('following flows', () => {
  it('says what is lacking since the instant asked for, then window after window without a gap', async () => {
    const [first, second, third] = await windows(quietReader(() => Promise.resolve(COVERAGE)), 3, 1_000);
    expect(first).toMatchObject({ sinceUs: 1_000, coverage: COVERAGE });
    expect(second?.sinceUs).toBe(first?.untilUs);
    expect(third?.sinceUs).toBe(second?.untilUs);
  });

  it('tells of a window later, and whole, when the store is busy', async () => {
    let asked = 0;
    const reader = quietReader(() => (++asked === 1 ? Promise.reject(new DomainError('service.unavailable', 'Busy.')) : Promise.resolve(COVERAGE)));
    expect((await windows(reader, 1, 1_000))[0]?.sinceUs).toBe(1_000);
    expect(asked).toBe(2);
  });
});
