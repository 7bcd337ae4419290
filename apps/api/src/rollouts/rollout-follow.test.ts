import type { RolloutDetail, RolloutEventRecord } from '@palisade/control';
import { DEFAULT_GATE, DEFAULT_WAVES, NODE_ROLLOUT_STATES, type NodeCounts } from '@palisade/rollout';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import { followRollout } from './rollout-follow.ts';

const context = systemContext(parseTenantId('0198f000-0000-7000-8000-000000000001'), 'test');
const NONE = Object.fromEntries(NODE_ROLLOUT_STATES.map((state) => [state, 0])) as unknown as NodeCounts;

const detail = (state: RolloutDetail['rollout']['state'], counts: Partial<NodeCounts> = {}): RolloutDetail => ({
  rollout: {
    id: 'r', clusterId: 'c', channel: 'stable', state, version: 1, reason: null, policyRevision: 1, shadowPolicyRevision: null, revertOf: null, bundleId: null, target: null,
    strategy: DEFAULT_WAVES, gate: DEFAULT_GATE, windows: [], leaseMs: 1, maxInFlight: null, createdBy: 't', createdAt: new Date(0), startedAt: null, finishedAt: null,
  },
  waves: [{ index: 0, name: 'canary', size: 1, state: 'open', openedAtMs: 0, bakingSinceMs: null, reason: null, counts: { ...NONE, ...counts } }],
  etaMs: null,
  validation: null,
});

/** A rollout that takes one step every turn. */
function script(steps: readonly { readonly detail: RolloutDetail; readonly events: readonly string[] }[]) {
  let turn = 0;
  const all = (): RolloutEventRecord[] => steps.slice(0, turn + 1).flatMap(({ events }) => events).map((id) => ({ id, kind: 'wave-opened', waveIndex: 0, nodeId: null, detail: id, at: new Date(0) }));
  return {
    read: {
      get: async () => steps[turn]!.detail,
      events: async (_context: unknown, _cluster: string, _id: string, page: { limit: number; after?: string }) => {
        const rest = all().filter(({ id }) => page.after === undefined || id > page.after);
        return { items: rest.slice(0, 1), ...(rest.length > 1 && { next: rest[0]!.id }) };
      },
    },
    pause: async () => void (turn += 1),
  };
}

async function follow(steps: Parameters<typeof script>[0], after?: string): Promise<string[]> {
  const { read, pause } = script(steps);
  const texts: string[] = [];
  for await (const text of followRollout({ read, context, clusterId: 'c', rolloutId: 'r', after, pause, gone: new AbortController().signal })) texts.push(text);
  return texts;
}
const ids = (texts: readonly string[]) => [...texts.join('').matchAll(/^id: (.*)$/gm)].map(([, id]) => id);

const STEPS = [
  { detail: detail('running', { offered: 1 }), events: ['a', 'b'] },
  { detail: detail('running', { offered: 1 }), events: [] },
  { detail: detail('running', { healthy: 1 }), events: [] },
  { detail: detail('succeeded', { healthy: 1 }), events: ['c'] },
];

describe('following a rollout', () => {
  it('tells every event once, in order, and ends when the rollout has settled', async () => {
    expect(ids(await follow(STEPS))).toEqual(['a', 'b', 'c']);
  });

  it('resumes after the last event that the reader has', async () => {
    expect(ids(await follow(STEPS, 'a'))).toEqual(['b', 'c']);
    expect(ids(await follow(STEPS, 'c'))).toEqual([]);
  });

  it('tells counts by state when they change, and not otherwise', async () => {
    const progress = (await follow(STEPS)).join('').split('\n\n').filter((text) => text.includes('event: progress'));
    expect(progress.map((text) => JSON.parse(text.split('data: ')[1]!) as { state: string; waves: { counts: NodeCounts }[] }).map(({ state, waves }) => [state, waves[0]!.counts.offered, waves[0]!.counts.healthy])).toEqual([
      ['running', 1, 0], ['running', 0, 1], ['succeeded', 0, 1],
    ]);
  });

  it('ends when the reader has gone', async () => {
    const gone = new AbortController();
    const { read } = script([STEPS[0]!]);
    const texts: string[] = [];
    for await (const text of followRollout({ read, context, clusterId: 'c', rolloutId: 'r', after: undefined, pause: async () => gone.abort(), gone: gone.signal })) texts.push(text);
    expect(texts).toHaveLength(1);
  });
});
