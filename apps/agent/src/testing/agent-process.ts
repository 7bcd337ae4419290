import { join } from 'node:path';
import { fileKernel } from './file-kernel.ts';
import { startAgent } from './running-agent.ts';

// An agent in a process of its own, to be killed. Arguments: state folder, gateway, pin, token.
const [dir = '', url = '', pin = '', token = ''] = process.argv.slice(2);
const agent = startAgent({ plane: { url, pin, token }, dir, kernel: fileKernel(join(dir, 'kernel.json')) });
agent.done.catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
