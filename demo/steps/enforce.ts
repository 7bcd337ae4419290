import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DemoCluster } from '../cluster.ts';
import { expectFlows } from './flows.ts';
import { kernelCounters } from './kernel-counters.ts';
import { CANARY_FIRST, runningOf, runs, untilRunning, untilSucceeded } from './rollouts.ts';
import { expectThat, type Evidence, type Step } from './step.ts';
import { expectPolicyInForce } from './stream-change.ts';

export const enforce: Step = {
  id: 'enforce',
  expectation: 'policy: frontend → backend :8080 and backend → db :5432, nothing else; canary first; no allowed request lost',
  run: async (demo: DemoCluster): Promise<Evidence> => {
    const before = { traffic: await demo.traffic.counts(), kernel: await kernelCounters(demo) };
    await demo.api.applyPolicies(demo.cluster.id, readFileSync(resolve(import.meta.dirname, '../policies/shop.yaml'), 'utf8'));
    const rollout = await demo.api.createRollout(demo.cluster.id, CANARY_FIRST);

    let canaryAlone = false;
    const done = await untilSucceeded(demo, rollout.id, async (now) => {
      if (now.waves[1]?.state !== 'pending') return;
      const running = (await demo.api.nodes(demo.cluster.id)).filter((node) => runs(node, now));
      // The rest may have been opened between the two questions.
      if ((await demo.api.rollout(demo.cluster.id, now.id)).waves[1]?.state !== 'pending') return;
      expectThat(running.length <= 1, 'no node but the canary to run the policy before the canary has passed', running.map(({ name }) => name));
      canaryAlone ||= running.length === 1;
    });
    expectThat(canaryAlone, 'to see the canary run the policy while the other node does not yet', done.waves);
    const nodes = await untilRunning(demo, done);

    const since = new Date();
    const clients = await expectPolicyInForce(demo, before.traffic);
    const flows = await expectFlows(demo, since, ({ allowedByPolicy }) => ({ verdict: allowedByPolicy ? 'forwarded' : 'dropped', decided: true }));
    const after = await kernelCounters(demo);
    for (const { node, droppedPackets } of after) {
      const dropped = droppedPackets - (before.kernel.find((counters) => counters.node === node)?.droppedPackets ?? 0);
      expectThat(dropped > 0, `${node}’s kernel to count dropped packets`, { droppedPackets: dropped });
    }
    return { clients, kernel: { before: before.kernel, after }, flows, running: runningOf(nodes) };
  },
};
