import type { DemoCluster } from '../cluster.ts';
import { kernelCounters } from './kernel-counters.ts';
import { runningOf, untilHeard } from './rollouts.ts';
import { expectThat, type Evidence, type Step } from './step.ts';
import { expectPolicyInForce } from './stream-change.ts';

export const agentDown: Step = {
  id: 'agent-down',
  expectation: 'agents killed: enforcement unchanged; started again: they adopt what is pinned',
  run: async (demo: DemoCluster): Promise<Evidence> => {
    const earlier = runningOf(await demo.api.nodes(demo.cluster.id));
    const before = { traffic: await demo.traffic.counts(), kernel: await kernelCounters(demo) };
    await Promise.all(demo.agents.map((agent) => agent.kill()));
    await expectPolicyInForce(demo, before.traffic);

    const restarted = new Date();
    await Promise.all(demo.agents.map((agent) => agent.start()));
    const running = runningOf(await untilHeard(demo, restarted));
    expectThat(JSON.stringify(running) === JSON.stringify(earlier), 'the nodes to run what they ran before', { earlier, running });
    const clients = await expectPolicyInForce(demo, before.traffic);
    return { clients, kernel: { before: before.kernel, after: await kernelCounters(demo) }, running };
  },
};
