import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startControlPlane } from '../../tools/stack/control-plane.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import { ApiClient } from './api-client.ts';
import { behavioursOf, parseFaults } from './fault-shares.ts';
import { Fleet } from './fleet.ts';

const usage = `Usage: npm run fleet -- --agents N [--fault NAME=AMOUNT]... [--health-ms N] [--cluster NAME]
    [--api URL --token-file FILE --gateway URL --gateway-ca FILE]

Enrolls N simulated agents (default 100) and keeps them connected until Ctrl-C. They speak the real protocol with real
keys and certificates; their kernels are made up. Without --api and the three that go with it, a control plane of its
own is started and removed again at the end.

Faults, as a count (silent=3) or a share of the fleet (silent=1%):
  slow     takes 20 times as long from load to health
  silent   stops checking in when a new generation is offered
  failing  reports that the kernel refused the programs
  lying    claims health under a digest that was not offered
  cloned   a copy of its disk renews a certificate that was renewed already`;

interface Target {
  readonly apiUrl: string;
  readonly tokenFile: string;
  readonly gatewayUrl: string;
  readonly gatewayCaFile: string;
  stop(): Promise<void>;
}

function say(sentence: string): void {
  process.stdout.write(`${sentence}\n`);
}

async function ownControlPlane(): Promise<Target> {
  const dir = mkdtempSync(join(tmpdir(), 'palisade-fleet-'));
  const plane = await startControlPlane({ state: new StateFolder(dir), gatewayAddress: '127.0.0.1', progress: say, onUnexpectedEnd: ({ name }, how) => say(`${name} ended: ${how}`) });
  const stop = async (): Promise<void> => {
    await plane.stop();
    rmSync(dir, { recursive: true, force: true });
  };
  return { apiUrl: plane.apiUrl, tokenFile: plane.ownerTokenFile, gatewayUrl: plane.gatewayUrl, gatewayCaFile: join(dir, 'keys/root/gateway-ca.crt'), stop };
}

function refuse(why: string): never {
  process.stderr.write(`${why}\n\n${usage}\n`);
  process.exit(2);
}

function readOptions() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      options: { agents: text, fault: { type: 'string', multiple: true, default: [] }, 'health-ms': text, cluster: text, api: text, 'token-file': text, gateway: text, 'gateway-ca': text, help: { type: 'boolean' } },
    }).values;
  } catch (error) {
    return refuse((error as Error).message);
  }
}

async function main(): Promise<void> {
  const values = readOptions();
  if (values.help === true) return say(usage);
  const count = Number(values.agents ?? 100);
  if (!Number.isInteger(count) || count < 1) refuse('--agents is a positive number.');
  const given = [values.api, values['token-file'], values.gateway, values['gateway-ca']];
  const [apiUrl, tokenFile, gatewayUrl, gatewayCaFile] = given;
  if (given.some((value) => value !== undefined) && given.includes(undefined)) refuse('--api, --token-file, --gateway and --gateway-ca go together.');
  let behaviours;
  try {
    behaviours = behavioursOf(count, parseFaults(values.fault, count));
  } catch (error) {
    return refuse((error as Error).message);
  }
  const target: Target = apiUrl === undefined ? await ownControlPlane() : { apiUrl, tokenFile: tokenFile!, gatewayUrl: gatewayUrl!, gatewayCaFile: gatewayCaFile!, stop: async () => undefined };
  const api = new ApiClient(target.apiUrl, readFileSync(target.tokenFile, 'utf8').trim());
  const cluster = await api.createCluster(values.cluster ?? `fleet-${Date.now()}`);
  const healthDelayMs = Number(values['health-ms'] ?? 10_000);
  const fleet = new Fleet({ url: target.gatewayUrl, ca: readFileSync(target.gatewayCaFile, 'utf8') }, count, (index) => ({ behaviour: behaviours[index]!, healthDelayMs, onRefused: (refused) => say(refused.message) }));
  const end = async (): Promise<void> => {
    fleet.stop();
    await target.stop();
    process.exit(0);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end());
  say(`cluster ${cluster.id}, API ${target.apiUrl}, token in ${target.tokenFile}: enrolling ${count} agents`);
  await fleet.enroll(await api.enrollmentToken(cluster.id, count));
  await fleet.start();
  say(`${fleet.connected} of ${count} agents are connected; Ctrl-C ends them`);
  setInterval(() => say(`${new Date().toISOString()} connected ${fleet.connected}`), 10_000);
}

await main();
