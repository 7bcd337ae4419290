import { DomainError } from '@palisade/errors';
import type { DesiredState, Enforcer, RunningState } from '../enforcer/enforcer.ts';

/** A kernel in memory: what was applied stays when the agent ends, as pinned state does. */
export class MemoryKernel {
  state: DesiredState | undefined;
  bypassed = false;
  /** Content digests of everything that was ever applied, in order. */
  readonly applied: string[] = [];
  /** What the next applies throw, by content digest. */
  readonly failures = new Map<string, DomainError>();
  /** Endpoints that the kernel drops by itself, by content digest. */
  readonly losesProtection = new Map<string, string>();
  /** Content digests that the kernel reports as something else. */
  readonly lies = new Map<string, string>();
}

export function memoryEnforcer(kernel: MemoryKernel): Enforcer {
  const running = async (): Promise<RunningState> => {
    const { state } = kernel;
    if (state === undefined) return { policyRevision: 0, identityRevision: 0, endpoints: [] };
    const lost = kernel.losesProtection.get(state.contentDigest);
    return {
      contentDigest: kernel.lies.get(state.contentDigest) ?? state.contentDigest,
      generation: state.generation,
      policyRevision: state.resolved.policyRevision,
      identityRevision: state.resolved.identityRevision,
      endpoints: state.endpoints.map(({ key }) => (key === lost || kernel.bypassed ? { key, protected: false, reason: 'detached' } : { key, protected: true })),
    };
  };
  return {
    features: async () => ({ kernelRelease: '6.12.0', features: { tcx: true, ringbuf: true, btf: true } }),
    adopt: running,
    running,
    async apply(desired) {
      const failure = kernel.failures.get(desired.contentDigest);
      if (failure !== undefined) throw failure;
      kernel.state = desired;
      kernel.applied.push(desired.contentDigest);
      return running();
    },
    drain: async () => [],
    drainBatches: async () => [],
    losses: async () => ({ ringFull: 0n, evicted: 0n }),
    counters: async () => ({ forwardedPackets: 0n, droppedPackets: 0n, auditedPackets: 0n, perEndpoint: [], losses: { ringFull: 0n, evicted: 0n } }),
    watch: () => () => undefined,
    disable: async () => {
      kernel.bypassed = true;
    },
    enable: async () => {
      kernel.bypassed = false;
    },
    uninstall: async () => {
      kernel.state = undefined;
    },
    close: async () => undefined,
  };
}
