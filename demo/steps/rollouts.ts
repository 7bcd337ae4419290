import { logTail } from '../../tools/stack/state-folder.ts';
import { waitFor } from '../../tools/stack/wait-for.ts';
import type { DemoCluster } from '../cluster.ts';
import type { NodeView, RolloutDetailView, RolloutView } from '../palisade-api.ts';
import { ExpectationFailed } from './step.ts';

const DEADLINE_MS = 120_000;
const ENDED_BADLY = new Set(['halted', 'canceled', 'superseded', 'paused']);

/** A canary, then the rest; each watched for two seconds. */
export const CANARY_FIRST = {
  strategy: { kind: 'sizes', sizes: [{ nodes: 1 }, { fraction: 1 }] },
  gate: { bakeMs: 2000 },
  supersede: true,
} as const;

/** Waits until a rollout has succeeded; `watch` sees every state on the way. */
export async function untilSucceeded(demo: DemoCluster, id: string, watch: (rollout: RolloutDetailView) => Promise<void> = async () => {}): Promise<RolloutDetailView> {
  let last: RolloutDetailView | undefined;
  return waitFor(
    'the rollout to succeed',
    async () => {
      const rollout = await demo.api.rollout(demo.cluster.id, id);
      last = rollout;
      await watch(rollout);
      if (ENDED_BADLY.has(rollout.state)) throw new ExpectationFailed('the rollout to succeed', `${rollout.state}: ${rollout.reason ?? 'no reason given'}`);
      return rollout.state === 'succeeded' ? rollout : undefined;
    },
    {
      withinMs: DEADLINE_MS,
      everyMs: 200,
      otherwise: () => `It is ${last?.state} with waves ${JSON.stringify(last?.waves)}. The end of the worker’s log:\n${logTail(demo.state.logFile('worker'))}`,
    },
  );
}

/** Whether a node says that it runs what a rollout brought. */
export function runs(node: NodeView, rollout: RolloutView): boolean {
  const wanted = rollout.contentDigests[node.arch];
  return wanted !== undefined && node.observed?.contentDigest === wanted;
}

/** Waits until both nodes report, on their own, that they run what the rollout brought, with all their endpoints protected. */
export async function untilRunning(demo: DemoCluster, rollout: RolloutView): Promise<readonly NodeView[]> {
  let nodes: readonly NodeView[] = [];
  await waitFor(
    `both nodes to report what rollout ${rollout.id} brought as running (${JSON.stringify(rollout.contentDigests)})`,
    async () => {
      nodes = await demo.api.nodes(demo.cluster.id);
      return nodes.length === demo.plan.nodes.length && nodes.every((node) => runs(node, rollout) && node.observed?.endpointsUnprotected === 0 && node.observed.endpointsProtected > 0);
    },
    { withinMs: 60_000, everyMs: 300, otherwise: () => `They report ${JSON.stringify(nodes.map(({ name, observed }) => ({ name, ...observed })))}` },
  );
  return nodes;
}

/** Waits until both nodes have been heard after `since`. */
export async function untilHeard(demo: DemoCluster, since: Date): Promise<readonly NodeView[]> {
  let nodes: readonly NodeView[] = [];
  await waitFor(
    'both agents to come back',
    async () => {
      nodes = await demo.api.nodes(demo.cluster.id);
      return nodes.length === demo.plan.nodes.length && nodes.every(({ observed }) => observed !== null && new Date(observed.seenAt) > since);
    },
    {
      withinMs: 150_000,
      everyMs: 500,
      otherwise: () => demo.agents.map(({ name, logFile }) => `\nThe end of ${name}’s log:\n${logTail(logFile)}`).join(''),
    },
  );
  return nodes;
}

export function runningOf(nodes: readonly NodeView[]) {
  return nodes.map(({ name, observed }) => ({ node: name, contentDigest: observed?.contentDigest ?? null, generation: observed?.generation ?? null }));
}
