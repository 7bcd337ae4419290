import { waitFor } from '../../tools/stack/wait-for.ts';
import { WORKLOAD_NAMESPACE } from '../endpoint-file.ts';
import type { DemoCluster } from '../cluster.ts';
import type { FlowView } from '../palisade-api.ts';
import type { DemoStream } from '../traffic-plan.ts';

/** A flow that proves a stream was seen, with what decided it. */
export interface FlowSample {
  readonly stream: string;
  readonly id: string;
  readonly verdict: string;
  readonly dropReason?: string;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly policies: readonly string[];
}

const DEADLINE_MS = 45_000;

/**
 * Waits until the API knows, for every pair of workloads that talk, a flow
 * with the verdict that `wanted` names, seen after `since`.
 */
export async function expectFlows(
  demo: DemoCluster,
  since: Date,
  wanted: (stream: DemoStream) => { readonly verdict: string; readonly decided: boolean },
): Promise<readonly FlowSample[]> {
  const pairs = new Map<string, DemoStream>();
  for (const stream of demo.traffic.streams) if (stream.route === 'direct') pairs.set(`${stream.from} → ${stream.to}`, stream);
  const found = new Map<string, FlowSample>();
  await waitFor(
    'a flow of every pair of workloads',
    async () => {
      for (const [pair, stream] of pairs) {
        if (found.has(pair)) continue;
        const flow = await flowOf(demo, since, stream, wanted(stream));
        if (flow !== undefined) found.set(pair, sample(pair, flow));
      }
      return found.size === pairs.size;
    },
    {
      withinMs: DEADLINE_MS,
      everyMs: 1000,
      otherwise: () => `Missing: ${[...pairs].filter(([pair]) => !found.has(pair)).map(([pair, stream]) => `${pair} ${wanted(stream).verdict}`).join(', ')}`,
    },
  );
  return [...found.values()];
}

/** A flow of one stream with both ends known and the wanted verdict, decided by a policy where that is asked. */
async function flowOf(demo: DemoCluster, since: Date, stream: DemoStream, { verdict, decided }: { readonly verdict: string; readonly decided: boolean }): Promise<FlowView | undefined> {
  const flows = await demo.api.flows(demo.cluster.id, {
    verdict,
    since: since.toISOString(),
    sourceNamespace: WORKLOAD_NAMESPACE,
    sourceWorkload: stream.from,
    destinationWorkload: stream.to,
    destinationPort: String(stream.port),
    reply: 'false',
    limit: '20',
  });
  return flows.find(({ source, destination, policies }) => source.identity > 0 && destination.identity > 0 && (!decided || policies.length > 0));
}

function sample(stream: string, flow: FlowView): FlowSample {
  return {
    stream,
    id: flow.id,
    verdict: flow.verdict,
    ...(flow.dropReason === undefined ? {} : { dropReason: flow.dropReason }),
    sourceIdentity: flow.source.identity,
    destinationIdentity: flow.destination.identity,
    policies: flow.policies.map(({ name, direction, index, revision }) => `${name} ${direction} ${index === undefined ? 'default deny' : `rule ${index}`} revision ${revision}`),
  };
}
