import type { DemoCluster } from '../cluster.ts';
import { kernelCounters } from './kernel-counters.ts';
import { runningOf, untilRunning, untilSucceeded } from './rollouts.ts';
import { expectThat, type Evidence, type Step } from './step.ts';
import { expectAllAnswered } from './stream-change.ts';

export const rollback: Step = {
  id: 'rollback',
  expectation: 'rolled back: all traffic flows as at first, under a higher generation',
  run: async (demo: DemoCluster): Promise<Evidence> => {
    const before = { traffic: await demo.traffic.counts(), kernel: await kernelCounters(demo), nodes: await demo.api.nodes(demo.cluster.id) };
    const latest = (await demo.api.rollouts(demo.cluster.id))
      .filter(({ state }) => state === 'succeeded')
      .toSorted((one, other) => other.createdAt.localeCompare(one.createdAt))[0];
    expectThat(latest !== undefined, 'a rollout that can be undone', 'none');
    const undoing = await demo.api.rollBack(demo.cluster.id, latest.id);
    const done = await untilSucceeded(demo, undoing.id);
    const nodes = await untilRunning(demo, done);
    for (const { name, observed } of nodes) {
      const earlier = before.nodes.find((node) => node.name === name)?.observed;
      expectThat(isHigher(observed?.generation, earlier?.generation), `${name} to run a higher generation`, { before: earlier, now: observed });
      expectThat(observed?.contentDigest !== earlier?.contentDigest, `${name} to run other contents than the policy’s`, observed);
    }
    const clients = await expectAllAnswered(demo, before.traffic);
    return { clients, kernel: { before: before.kernel, after: await kernelCounters(demo) }, running: runningOf(nodes) };
  },
};

/** Generations are `epoch.n`. */
function isHigher(now: string | null | undefined, before: string | null | undefined): boolean {
  const [epoch = 0, n = 0] = (now ?? '').split('.').map(Number);
  const [oldEpoch = 0, oldN = 0] = (before ?? '').split('.').map(Number);
  return epoch > oldEpoch || (epoch === oldEpoch && n > oldN);
}
