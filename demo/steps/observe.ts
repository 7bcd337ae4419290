import type { DemoCluster } from '../cluster.ts';
import { expectFlows } from './flows.ts';
import { kernelCounters } from './kernel-counters.ts';
import { CANARY_FIRST, runningOf, untilHeard, untilRunning, untilSucceeded } from './rollouts.ts';
import type { Evidence, Step } from './step.ts';
import { expectAllAnswered } from './stream-change.ts';

export const observe: Step = {
  id: 'observe',
  expectation: 'no policy: all traffic flows, and every pair of workloads is seen',
  run: async (demo: DemoCluster): Promise<Evidence> => {
    await untilHeard(demo, new Date(0));
    // A stack that was used before still has its policies.
    for (const policy of await demo.api.policies(demo.cluster.id)) await demo.api.deletePolicy(demo.cluster.id, policy.id);
    const rollout = await demo.api.createRollout(demo.cluster.id, CANARY_FIRST);
    const done = await untilSucceeded(demo, rollout.id);
    const nodes = await untilRunning(demo, done);

    const since = new Date();
    const before = await kernelCounters(demo);
    const clients = await expectAllAnswered(demo, await demo.traffic.counts());
    const flows = await expectFlows(demo, since, () => ({ verdict: 'forwarded', decided: false }));
    return { clients, kernel: { before, after: await kernelCounters(demo) }, flows, running: runningOf(nodes) };
  },
};
