import type { KernelPort } from '@palisade/dataplane';
import { DomainError, isDomainError } from '@palisade/errors';
import { NativeKernel } from '@palisade/kernel';
import { nodeResolvers } from './enforcer/lifelines.ts';
import { createKernelEnforcer, type KernelEnforcerOptions } from './enforcer/kernel-enforcer.ts';
import type { Enforcer, KernelFeatures, RunningState } from './enforcer/enforcer.ts';
import { featurelessKernel } from './check-in/node-description.ts';
import type { Log } from './log.ts';

/** The enforcer of this kernel; where none can work, one that says so and changes nothing. */
export async function openEnforcer(
  pinRoot: string,
  log: Log,
  options: Pick<KernelEnforcerOptions, 'processArguments' | 'httpGateSocket'> = {},
): Promise<{ readonly enforcer: Enforcer; readonly kernel: KernelFeatures; readonly node?: KernelPort }> {
  try {
    const node = new NativeKernel();
    const { processArguments = 'hash', httpGateSocket } = options;
    const enforcer = createKernelEnforcer({ pinRoot, kernel: node, lifelines: nodeResolvers, processArguments, ...(httpGateSocket !== undefined && { httpGateSocket }) });
    return { enforcer, kernel: await enforcer.features(), node };
  } catch (error) {
    if (!isDomainError(error) && !(error instanceof Error)) throw error;
    log.error('this kernel cannot enforce; the node enrolls and reports itself as unsupported', { reason: error.message });
    return { enforcer: unsupportedEnforcer(error.message), kernel: featurelessKernel() };
  }
}

const NOTHING: RunningState = { policyRevision: 0, identityRevision: 0, endpoints: [] };

/** Refuses every bundle with the reason, so that the control plane shows the node as what it is: not protected. */
export function unsupportedEnforcer(reason: string): Enforcer {
  return {
    features: async () => featurelessKernel(),
    adopt: async () => NOTHING,
    running: async () => NOTHING,
    apply: async () => {
      throw new DomainError('kernel.unsupported', reason);
    },
    drain: async () => [],
    drainBatches: async () => [],
    losses: async () => ({ ringFull: 0n, evicted: 0n }),
    counters: async () => ({ forwardedPackets: 0n, droppedPackets: 0n, auditedPackets: 0n, perEndpoint: [], losses: { ringFull: 0n, evicted: 0n } }),
    watch: () => () => undefined,
    disable: async () => undefined,
    enable: async () => undefined,
    uninstall: async () => undefined,
    close: async () => undefined,
  };
}
