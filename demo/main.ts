/** `npm run demo`: the demo headless, on a stack of its own that begins empty. See --help. */
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkout } from '../tools/dev/command.ts';
import { kernelSupport, skippedKernelSentence } from '../tools/dev/kernel-support.ts';
import { lockHolder } from '../tools/stack/stack-lock.ts';
import { untilAskedToEnd } from '../tools/stack/until-asked-to-end.ts';
import { whatToTry } from './what-to-try.ts';
import { ALL_STEPS, STEPS_TO_HOLD, runSteps, type StepResult } from './run-steps.ts';
import { startStack } from './stack.ts';

const usage = `Usage: npm run demo [-- --json] [--hold]

  --json   ends with one line: {"steps":[{"id","ok","evidence"}],"ok"}
  --hold   stops after "enforce", prints addresses to try, and stays up until Ctrl-C
  --state  folder for its state instead of .state/demo; emptied first
`;

const { values } = parseArgs({ options: { json: { type: 'boolean' }, hold: { type: 'boolean' }, state: { type: 'string' }, help: { type: 'boolean' } } });
// With --json, standard output has nothing but the line at its end.
const tell = (line: string): void => void (values.json === true ? process.stderr : process.stdout).write(`${line}\n`);

async function main(): Promise<number> {
  if (values.help === true) {
    process.stdout.write(usage);
    return 0;
  }
  const support = kernelSupport();
  if (!support.usable) {
    const error = skippedKernelSentence(support.reason);
    tell(error);
    if (values.json === true) process.stdout.write(`${JSON.stringify({ steps: [], ok: false, error })}\n`);
    return 1;
  }
  const stateDir = resolve(values.state ?? join(checkout, '.state/demo'));
  if (lockHolder(stateDir) === undefined) rmSync(stateDir, { recursive: true, force: true });
  const ended = untilAskedToEnd();
  const stack = await startStack({ stateDir, withCluster: true, tell });
  try {
    if (stack.demo === undefined) return 1;
    const steps = await Promise.race([runSteps(stack.demo, values.hold === true ? STEPS_TO_HOLD : ALL_STEPS, tell), ended]);
    if (steps === undefined) return 130;
    const ok = steps.every((step) => step.ok);
    if (values.hold === true && ok) {
      tell(whatToTry(stack.controlPlane, stack.demo));
      if (values.json === true) report(steps, ok);
      await ended;
    } else if (values.json === true) report(steps, ok);
    return ok ? 0 : 1;
  } finally {
    await stack.stop();
  }
}

function report(steps: readonly StepResult[], ok: boolean): void {
  process.stdout.write(`${JSON.stringify({ steps, ok })}\n`);
}

let code = 1;
try {
  code = await main();
} catch (error) {
  tell((error as Error).message);
  if (values.json === true) process.stdout.write(`${JSON.stringify({ steps: [], ok: false, error: (error as Error).message })}\n`);
}
// A step that was interrupted may still be waiting for something; it ends with us.
process.exit(code);
