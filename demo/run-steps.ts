import type { DemoCluster } from './cluster.ts';
import { agentDown } from './steps/agent-down.ts';
import { controlPlaneDown } from './steps/control-plane-down.ts';
import { enforce } from './steps/enforce.ts';
import { observe } from './steps/observe.ts';
import { rollback } from './steps/rollback.ts';
import type { Evidence, Step } from './steps/step.ts';

export interface StepResult {
  readonly id: Step['id'];
  readonly ok: boolean;
  readonly durationMs: number;
  readonly evidence: Evidence | { readonly error: string };
}

export const ALL_STEPS: readonly Step[] = [observe, enforce, controlPlaneDown, agentDown, rollback];
/** Ends in the enforced state. */
export const STEPS_TO_HOLD: readonly Step[] = [observe, enforce];

/** Runs steps in order and stops at the first that is not as expected: the later ones stand on it. */
export async function runSteps(demo: DemoCluster, steps: readonly Step[], tell: (line: string) => void): Promise<readonly StepResult[]> {
  const results: StepResult[] = [];
  for (const step of steps) {
    tell(`${step.id}: ${step.expectation}`);
    const began = performance.now();
    let evidence: StepResult['evidence'];
    let ok = true;
    try {
      evidence = await step.run(demo);
      tell(`  as expected. ${summary(evidence)}`);
    } catch (error) {
      ok = false;
      evidence = { error: (error as Error).message };
      tell(`  NOT as expected. ${evidence.error}`);
    }
    results.push({ id: step.id, ok, durationMs: Math.round(performance.now() - began), evidence });
    if (!ok) break;
  }
  return results;
}

function summary({ clients = [], flows = [], running = [], kernel }: Evidence): string {
  const allowed = clients.filter(({ allowedByPolicy }) => allowedByPolicy);
  const denied = clients.filter(({ allowedByPolicy }) => !allowedByPolicy);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
  const dropped = kernel === undefined ? 0 : sum(kernel.after.map((c) => c.droppedPackets)) - sum(kernel.before.map((c) => c.droppedPackets));
  return [
    `frontend → backend → db: ${sum(allowed.map(({ ok }) => ok))} answered, ${sum(allowed.map(({ failed }) => failed))} failed`,
    `the rest: ${sum(denied.map(({ ok }) => ok))} answered, ${sum(denied.map(({ failed }) => failed))} failed`,
    `${dropped} packets dropped in the kernel`,
    ...(flows.length === 0 ? [] : [`${flows.length} pairs of workloads seen as flows`]),
    `running ${[...new Set(running.map(({ contentDigest, generation }) => `${contentDigest?.slice(0, 12)} (generation ${generation})`))].join(', ')}`,
  ].join('; ');
}
