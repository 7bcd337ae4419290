import type { DemoCluster } from '../cluster.ts';
import { kernelCounters } from './kernel-counters.ts';
import { runningOf, untilHeard } from './rollouts.ts';
import { expectThat, type Evidence, type Step } from './step.ts';
import { expectPolicyInForce } from './stream-change.ts';

export const controlPlaneDown: Step = {
  id: 'control-plane-down',
  expectation: 'gateway, worker and API killed: enforcement unchanged; started again: the agents come back',
  run: async (demo: DemoCluster): Promise<Evidence> => {
    const earlier = runningOf(await demo.api.nodes(demo.cluster.id));
    const before = { traffic: await demo.traffic.counts(), kernel: await kernelCounters(demo) };
    await demo.controlPlane.kill();
    const clients = await expectPolicyInForce(demo, before.traffic);
    const after = await kernelCounters(demo);

    const restarted = new Date();
    await demo.controlPlane.start();
    const nodes = await untilHeard(demo, restarted);
    const running = runningOf(nodes);
    expectThat(JSON.stringify(running) === JSON.stringify(earlier), 'the nodes to run what they ran before', { earlier, running });
    return { clients, kernel: { before: before.kernel, after }, running };
  },
};
