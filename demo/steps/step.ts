import type { DemoCluster } from '../cluster.ts';
import type { FlowSample } from './flows.ts';
import type { KernelCounters } from './kernel-counters.ts';
import type { StreamChange } from './stream-change.ts';

/** What a step leaves as proof. */
export interface Evidence {
  /** Requests of all clients during the step, by stream. */
  readonly clients?: readonly StreamChange[];
  readonly kernel?: { readonly before: readonly KernelCounters[]; readonly after: readonly KernelCounters[] };
  readonly flows?: readonly FlowSample[];
  /** What each node says it is running. */
  readonly running?: readonly { readonly node: string; readonly contentDigest: string | null; readonly generation: string | null }[];
  readonly notes?: readonly string[];
}

export interface Step {
  readonly id: 'observe' | 'enforce' | 'control-plane-down' | 'agent-down' | 'rollback';
  /** What is expected, in a sentence for the person who watches. */
  readonly expectation: string;
  /** @throws ExpectationFailed, or a waiting condition's error, when it is not as expected. */
  run(demo: DemoCluster): Promise<Evidence>;
}

/** Something was not as the step expects it. */
export class ExpectationFailed extends Error {
  constructor(expected: string, got: unknown) {
    super(`Expected ${expected}. Got: ${typeof got === 'string' ? got : JSON.stringify(got)}`);
  }
}

export function expectThat(condition: boolean, expected: string, got: unknown): asserts condition {
  if (!condition) throw new ExpectationFailed(expected, got);
}
