import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../tools/dev/command.ts';
import type { ControlPlane } from '../tools/stack/control-plane.ts';
import { ManagedProcess } from '../tools/stack/managed-process.ts';
import type { StateFolder } from '../tools/stack/state-folder.ts';
import { endpointFile } from './endpoint-file.ts';
import { inNamespace } from './network/shell.ts';
import type { NetworkPlan, NodePlan } from './network/plan.ts';
import { PalisadeApi, type ClusterView } from './palisade-api.ts';
import { pinRoot } from './traces.ts';
import { Traffic } from './traffic.ts';

export interface ClusterOptions {
  readonly plan: NetworkPlan;
  readonly state: StateFolder;
  readonly controlPlane: ControlPlane;
  readonly onUnexpectedEnd: (process: ManagedProcess, how: string) => void;
}

/** The demo cluster: its network is built, its workloads talk, its agents run and are enrolled. */
export interface DemoCluster {
  readonly plan: NetworkPlan;
  readonly state: StateFolder;
  readonly controlPlane: ControlPlane;
  readonly api: PalisadeApi;
  readonly cluster: ClusterView;
  readonly traffic: Traffic;
  readonly agents: readonly ManagedProcess[];
  stop(): Promise<void>;
}

const CLUSTER_NAME = 'demo';

/** Starts workloads and agents on a network that is built. Agents that were enrolled before just come back. */
export async function startCluster(options: ClusterOptions): Promise<DemoCluster> {
  const { plan, state, controlPlane } = options;
  const api = new PalisadeApi(controlPlane.apiUrl, controlPlane.ownerTokenFile);
  const cluster = await api.findOrCreateCluster(CLUSTER_NAME);
  const traffic = await Traffic.start(plan, state.log);
  const agents: ManagedProcess[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(agents.map((agent) => agent.stop()));
    await traffic.stop();
  };
  try {
    for (const node of plan.nodes) agents.push(await prepareAgent(options, api, cluster, node));
    await Promise.all(agents.map((agent) => agent.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  return { plan, state, controlPlane, api, cluster, traffic, agents, stop };
}

/** The words that tell an agent program where its state and its pins are. */
export function agentPlaces(state: StateFolder, plan: NetworkPlan, node: NodePlan): readonly string[] {
  return ['--state', state.agent(node.name), '--pin-root', join(pinRoot(plan.id), node.name)];
}

async function prepareAgent(
  { plan, state, controlPlane, onUnexpectedEnd }: ClusterOptions,
  api: PalisadeApi,
  cluster: ClusterView,
  node: NodePlan,
): Promise<ManagedProcess> {
  const folder = state.agent(node.name);
  const endpoints = join(state.root, 'agents', `${node.name}-endpoints.json`);
  const tokenFile = join(state.root, 'agents', `${node.name}-enrollment-token`);
  const isEnrolled = existsSync(folder) && readdirSync(folder).length > 0;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(endpoints, endpointFile(plan, node));
  if (!isEnrolled || !existsSync(tokenFile)) {
    const token = await api.createEnrollmentToken(cluster.id, node.name, 1, { 'palisade.io/node': node.name });
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    chmodSync(tokenFile, 0o600);
  }
  const command = inNamespace(node.namespace, [
    // A host name of its own: the agent tells it when it enrolls.
    ...['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', node.name],
    process.execPath,
    '--enable-source-maps',
    join(checkout, 'apps/agent/dist/main.js'),
    'run',
    ...agentPlaces(state, plan, node),
    ...['--gateway', controlPlane.gatewayUrl],
    ...['--enroll-token-file', tokenFile],
    ...['--trust', readFileSync(controlPlane.trustPinFile, 'utf8').trim()],
    ...['--endpoints', endpoints],
    // The usual ten seconds a wave would be most of the demo.
    ...['--health-window-ms', '3000'],
  ]);
  return new ManagedProcess(
    { name: `agent-${node.name}`, command, environment: { NODE_ENV: 'production' }, logFile: state.logFile(`agent-${node.name}`) },
    onUnexpectedEnd,
  );
}
