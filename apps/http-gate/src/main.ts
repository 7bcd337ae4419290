/**
 * palisade-http-gate <agent socket>: started by palisade-gate-launch, with its listeners as descriptors 3 to 6 and no
 * privilege at all.
 */

import { fstatSync, readFileSync } from 'node:fs';
import { Gate } from './gate.ts';
import { UpstreamDialer } from './native-sockets.ts';

const [agentSocket] = process.argv.slice(2);

function socketAt(fd: number): number | undefined {
  try {
    return fstatSync(fd).isSocket() ? fd : undefined;
  } catch {
    return undefined;
  }
}

/** @throws Error where the process has more rights than its work needs */
function insistOnNoPrivileges(): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 'f';
  if (process.getuid?.() === 0 || BigInt(`0x${effective}`) !== 0n) {
    throw new Error('The HTTP gate reads what strangers send and must have no privileges: start it with palisade-gate-launch.');
  }
}

try {
  if (agentSocket === undefined) throw new Error('usage: palisade-http-gate <agent socket>');
  insistOnNoPrivileges();
  const [down4, down6, up4, up6] = [3, 4, 5, 6].map(socketAt);
  const dialer = new UpstreamDialer(up4 ?? -1, up6 ?? -1);
  const gate = new Gate({ listeners: { 4: down4, 6: down6 }, agentSocket, dial: (connection) => dialer.dial(connection) });
  await gate.start();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
