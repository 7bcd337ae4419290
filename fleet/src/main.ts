import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { ApiClient } from './api-client.ts';
import { Fleet } from './fleet.ts';
import type { Behaviour } from './simulated-agent.ts';

const BEHAVIOURS: readonly Behaviour[] = ['slow', 'silent', 'failing', 'lying'];

const usage = `Usage: npm run fleet -- --agents N --api URL --token-file FILE --gateway URL --gateway-ca FILE
    [--cluster NAME] [--slow PERCENT] [--silent PERCENT] [--failing PERCENT] [--lying PERCENT]

Enrolls N simulated agents into a cluster of a running control plane and keeps them connected until Ctrl-C.
They speak the real protocol with real keys and certificates; their kernels are made up.`;

/** A share of the fleet misbehaves by script; the rest is healthy. */
function behaviourOf(index: number, count: number, shares: Readonly<Partial<Record<Behaviour, number>>>): Behaviour {
  let upTo = 0;
  for (const behaviour of BEHAVIOURS) {
    upTo += ((shares[behaviour] ?? 0) / 100) * count;
    if (index < upTo) return behaviour;
  }
  return 'healthy';
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { agents: text, api: text, 'token-file': text, gateway: text, 'gateway-ca': text, cluster: text, slow: text, silent: text, failing: text, lying: text, help: { type: 'boolean' } },
  });
  const { api: apiUrl, 'token-file': tokenFile, gateway, 'gateway-ca': caFile } = values;
  const count = Number(values.agents ?? 100);
  if (values.help === true || apiUrl === undefined || tokenFile === undefined || gateway === undefined || caFile === undefined || !Number.isInteger(count) || count < 1) {
    process.stderr.write(`${usage}\n`);
    process.exit(values.help === true ? 0 : 2);
  }
  const api = new ApiClient(apiUrl, readFileSync(tokenFile, 'utf8').trim());
  const cluster = await api.createCluster(values.cluster ?? `fleet-${Date.now()}`);
  const shares = Object.fromEntries(BEHAVIOURS.map((behaviour) => [behaviour, Number(values[behaviour as 'slow'] ?? 0)]));
  const fleet = new Fleet({ url: gateway, ca: readFileSync(caFile, 'utf8') }, count, (index) => ({ behaviour: behaviourOf(index, count, shares), healthDelayMs: 200 }));
  process.once('SIGINT', () => {
    fleet.stop();
    process.exit(0);
  });
  process.stdout.write(`cluster ${cluster.id}: enrolling ${count} agents\n`);
  await fleet.enroll(await api.enrollmentToken(cluster.id, count));
  await fleet.start();
  process.stdout.write(`${fleet.connected} agents are connected; Ctrl-C ends them\n`);
  setInterval(() => process.stdout.write(`${new Date().toISOString()} connected ${fleet.connected}\n`), 10_000);
}

await main();
