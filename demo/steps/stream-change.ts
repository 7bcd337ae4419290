import { waitFor } from '../../tools/stack/wait-for.ts';
import type { DemoCluster } from '../cluster.ts';
import type { TrafficCounts } from '../traffic.ts';
import { expectThat } from './step.ts';

/** What became of a stream's requests between two moments. */
export interface StreamChange {
  readonly id: string;
  readonly allowedByPolicy: boolean;
  readonly ok: number;
  readonly failed: number;
  readonly slowestMs: number;
  readonly lastFailure?: string;
}

/** The differences of two counts, stream by stream. */
export function changes(demo: DemoCluster, before: TrafficCounts, after: TrafficCounts): readonly StreamChange[] {
  return demo.traffic.streams.map(({ id, allowedByPolicy }) => {
    const [from, to] = [before.get(id), after.get(id)];
    const failed = (to?.failed ?? 0) - (from?.failed ?? 0);
    const last = failed > 0 ? to?.failures.at(-1) : undefined;
    return {
      id,
      allowedByPolicy,
      ok: (to?.ok ?? 0) - (from?.ok ?? 0),
      failed,
      slowestMs: to?.slowestMs ?? 0,
      ...(last === undefined ? {} : { lastFailure: `${new Date(last.at).toISOString()} ${last.error}` }),
    };
  });
}

/** A stream is settled by this many requests: some seconds of traffic for each. */
const ALLOWED_SAMPLE = 20;
const DENIED_SAMPLE = 4;
const DEADLINE_MS = 60_000;

/**
 * Waits for a stretch of time in which every stream is answered and nothing
 * fails. A denied request that was under way before a change may still run into
 * its time limit after it, hence a stretch, not the first seconds.
 *
 * @param allowedSince allowed streams may have lost no request since then.
 */
export async function expectAllAnswered(demo: DemoCluster, allowedSince: TrafficCounts): Promise<readonly StreamChange[]> {
  let since = await demo.traffic.counts();
  let now: readonly StreamChange[] = [];
  await waitFor(
    'every stream of requests to be answered',
    async () => {
      const counts = await demo.traffic.counts();
      now = changes(demo, since, counts);
      if (now.some(({ failed }) => failed > 0)) since = counts;
      return now.every(({ ok, failed }) => ok >= DENIED_SAMPLE && failed === 0);
    },
    { withinMs: DEADLINE_MS, otherwise: () => `Not answered: ${JSON.stringify(now.filter(({ ok }) => ok < DENIED_SAMPLE))}` },
  );
  expectNothingLost(demo, allowedSince, await demo.traffic.counts());
  return now;
}

/**
 * Waits until the kernels show the policy: allowed streams keep being answered,
 * denied ones fail, time after time.
 *
 * @param allowedSince allowed streams may have lost no request since then.
 */
export async function expectPolicyInForce(demo: DemoCluster, allowedSince: TrafficCounts): Promise<readonly StreamChange[]> {
  const before = await demo.traffic.counts();
  let now: readonly StreamChange[] = [];
  const settled = ({ allowedByPolicy, ok, failed }: StreamChange): boolean => (allowedByPolicy ? ok >= ALLOWED_SAMPLE : failed >= DENIED_SAMPLE);
  await waitFor(
    'the traffic to show the policy',
    async () => {
      now = changes(demo, before, await demo.traffic.counts());
      return now.every(settled);
    },
    { withinMs: DEADLINE_MS, otherwise: () => `Not as expected: ${JSON.stringify(now.filter((change) => !settled(change)))}` },
  );
  const denied = now.filter(({ allowedByPolicy }) => !allowedByPolicy);
  expectThat(denied.every(({ ok }) => ok === 0), 'no denied request to be answered', denied.filter(({ ok }) => ok > 0));
  return expectNothingLost(demo, allowedSince, await demo.traffic.counts());
}

function expectNothingLost(demo: DemoCluster, since: TrafficCounts, now: TrafficCounts): readonly StreamChange[] {
  const whole = changes(demo, since, now);
  const lost = whole.filter(({ allowedByPolicy, failed }) => allowedByPolicy && failed > 0);
  expectThat(lost.length === 0, 'no allowed request to be lost', lost);
  return whole;
}
