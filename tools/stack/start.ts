/** `npm start`: the control plane and the demo cluster; stays up until Ctrl-C. */
import { join } from 'node:path';
import { ALL_STEPS, runSteps } from '../../demo/run-steps.ts';
import { startStack } from '../../demo/stack.ts';
import { whatToTry } from '../../demo/what-to-try.ts';
import { checkout } from '../dev/command.ts';
import { kernelSupport, skippedKernelSentence } from '../dev/kernel-support.ts';
import { say } from '../dev/say.ts';
import { untilAskedToEnd } from './until-asked-to-end.ts';

async function main(): Promise<number> {
  const support = kernelSupport();
  const ended = untilAskedToEnd();
  const stack = await startStack({ stateDir: join(checkout, '.state/stack'), withCluster: support.usable, tell: say });
  try {
    if (stack.demo === undefined) {
      if (!support.usable) say(skippedKernelSentence(support.reason));
      say(`API at ${stack.controlPlane.apiUrl}, owner token in ${stack.controlPlane.ownerTokenFile}. Stop with Ctrl-C.`);
      await ended;
      return 0;
    }
    const steps = await Promise.race([runSteps(stack.demo, ALL_STEPS, say), ended]);
    if (steps === undefined) return 0;
    process.stdout.write(whatToTry(stack.controlPlane, stack.demo));
    const ok = steps.every((step) => step.ok);
    say(ok ? 'All steps were as expected; no policy is in force now. Stop with Ctrl-C.' : 'A step was not as expected; everything stays up to look at. Stop with Ctrl-C.');
    await ended;
    return ok ? 0 : 1;
  } finally {
    say('stopping');
    await stack.stop();
  }
}

let code = 1;
try {
  code = await main();
} catch (error) {
  say((error as Error).message);
}
// A step that was interrupted may still be waiting for something; it ends with us.
process.exit(code);
