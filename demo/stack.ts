import { StateFolder } from '../tools/stack/state-folder.ts';
import { startControlPlane, type ControlPlane } from '../tools/stack/control-plane.ts';
import { Restarter } from '../tools/stack/restarter.ts';
import { publishAddress, releaseLock, takeLock } from '../tools/stack/stack-lock.ts';
import { startCluster, type DemoCluster } from './cluster.ts';
import { buildNetwork, chooseSlot } from './network/network.ts';
import { planNetwork, stackId, type NetworkPlan } from './network/plan.ts';
import { removeDemoTraces } from './traces.ts';

export interface StackOptions {
  readonly stateDir: string;
  /** False where namespaces and eBPF are not to be had: the control plane alone. */
  readonly withCluster: boolean;
  /** Told what is done, in words. */
  readonly tell: (sentence: string) => void;
}

/** A control plane and, where the kernel allows, its demo cluster. */
export interface Stack {
  readonly controlPlane: ControlPlane;
  readonly demo: DemoCluster | undefined;
  /** Ends everything and removes what is in the kernel; the state stays. */
  stop(): Promise<void>;
}

/**
 * Brings a stack up, from whatever its last run left. What was started is
 * stopped again when a later part fails.
 *
 * @throws when a stack runs on the state folder already.
 */
export async function startStack({ stateDir, withCluster, tell }: StackOptions): Promise<Stack> {
  takeLock(stateDir);
  const undo: (() => Promise<void> | void)[] = [() => releaseLock(stateDir)];
  const restarter = new Restarter(tell);
  const stop = async (): Promise<void> => {
    restarter.stop();
    for (const step of undo.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        tell(`while stopping: ${(error as Error).message}`);
      }
    }
  };
  try {
    const state = new StateFolder(stateDir);
    const plan = withCluster ? await prepareNetwork(state, undo, tell) : undefined;
    const onUnexpectedEnd = restarter.onUnexpectedEnd;
    const controlPlane = await startControlPlane({ state, gatewayAddress: plan?.host.address ?? '127.0.0.1', progress: tell, onUnexpectedEnd });
    undo.push(() => controlPlane.stop());
    publishAddress(stateDir, controlPlane.apiUrl);
    void controlPlane.databaseEnded.then((how) => restarter.databaseEnded(how, state.logFile('postgres')));
    if (plan === undefined) return { controlPlane, demo: undefined, stop };
    tell('starting workloads and agents');
    const demo = await startCluster({ plan, state, controlPlane, onUnexpectedEnd });
    undo.push(() => demo.stop());
    return { controlPlane, demo, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function prepareNetwork(state: StateFolder, undo: (() => Promise<void> | void)[], tell: (sentence: string) => void): Promise<NetworkPlan> {
  const id = stackId(state.root);
  await removeDemoTraces(state.root);
  // The gateway's certificate names its address: it stays what it was.
  const known = await chooseSlot(id);
  const slot = state.remember('network-slot', () => known);
  const plan = planNetwork(id, slot);
  tell('building the network of the demo cluster');
  undo.push(() => removeDemoTraces(state.root));
  await buildNetwork(plan);
  return plan;
}
