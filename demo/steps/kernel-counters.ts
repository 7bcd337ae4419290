import { join } from 'node:path';
import { checkout } from '../../tools/dev/command.ts';
import { agentPlaces, type DemoCluster } from '../cluster.ts';
import { exec, inNamespace } from '../network/shell.ts';

/** What a node's kernel has counted in its pinned maps. Numbers are packets since the programs were first loaded. */
export interface KernelCounters {
  readonly node: string;
  readonly forwardedPackets: number;
  readonly droppedPackets: number;
}

/** Reads the counters with the agent's own `status`, which looks at what is pinned; no agent has to run for it. */
export async function kernelCounters(demo: DemoCluster): Promise<readonly KernelCounters[]> {
  return Promise.all(
    demo.plan.nodes.map(async (node) => {
      const [program = '', ...words] = inNamespace(node.namespace, [
        process.execPath,
        join(checkout, 'apps/agent/dist/main.js'),
        'status',
        ...agentPlaces(demo.state, demo.plan, node),
      ]);
      const status = JSON.parse(await exec(program, words)) as { readonly counters: { readonly forwardedPackets: string; readonly droppedPackets: string } };
      return {
        node: node.name,
        forwardedPackets: Number(status.counters.forwardedPackets),
        droppedPackets: Number(status.counters.droppedPackets),
      };
    }),
  );
}
