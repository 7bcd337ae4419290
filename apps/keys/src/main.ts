import { parseArgs } from 'node:util';
import { initKeys } from './init-keys.ts';

const USAGE = `palisade-keys: the key ceremonies

  init --dir DIR [--gateway-host NAME|IP …] [--trust-domain DOMAIN]
      Creates root, image, director, snapshot and timestamp keys, root metadata version 1, the node CA, the gateway CA
      and the gateway's server certificate, where they are absent. Prints the trust pin.
`;

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  if (command !== 'init') {
    process.stderr.write(USAGE);
    return 2;
  }
  const { values } = parseArgs({
    args: rest,
    options: { dir: { type: 'string' }, 'gateway-host': { type: 'string', multiple: true }, 'trust-domain': { type: 'string', default: 'palisade.local' } },
  });
  if (values.dir === undefined) {
    process.stderr.write('Say where the keys go: --dir DIR\n');
    return 2;
  }
  const result = await initKeys({ dir: values.dir, gatewayHosts: values['gateway-host'] ?? [], trustDomain: values['trust-domain'], now: new Date() });
  for (const file of result.created) process.stdout.write(`created ${file}\n`);
  process.stdout.write(`${result.trustPin}\n`);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
