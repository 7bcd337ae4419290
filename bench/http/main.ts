/**
 * `npm run bench:http [-- --quick] [--json]`: what rules on HTTP cost a request, side by side in one run: no rules on content
 * (policy on identities), soft rules in the kernel, hard rules through the gate; to a pod, and to a service that netfilter
 * translates. One client, one request at a time, over a connection that stays and over a new one each. Needs root.
 */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { L7RuleSet, PolicyEntry } from '@palisade/policy';
import { FIRST_CLASS, HTTP_PORT, HttpLab } from '../../apps/agent/src/enforcer/testing/http-lab.ts';
import { gateUnavailable } from '../../apps/agent/src/enforcer/testing/http-processes.ts';
import { kernelUnavailable } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';
import { entry } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';
import { COMPARISON_NEEDS, ensureSystemPackages } from '../../tools/dev/system-packages.ts';
import { compare, interleave } from '../datapath/ratio.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } });
const LOAD = fileURLToPath(new URL('./http-load.ts', import.meta.url));
const SERVICE = '10.96.0.20';
const SERVICE_PORT = 80;
/** Of its own: what comes to one backend both ways from one port of the client is renamed by conntrack (docs/adr/0007-http-gate.md). */
const BEHIND_SERVICE = HTTP_PORT + 1;
const SECONDS = values.quick ? 0.5 : 1;
const ROUNDS = values.quick ? 3 : 15;
const execute = promisify(execFile);

interface Load {
  readonly requests: number;
  readonly medianUs: number;
  readonly p99Us: number;
}

const lab = new HttpLab(['client', 'server']);
const [client, server] = [lab.network.pod('client'), lab.network.pod('server')];
const nodeIn = (namespace: string, ...words: string[]): string[] => [`--net=/run/netns/${namespace}`, process.execPath, LOAD, ...words];

/** Both ends are restricted by identity; the client's side looks at content where `mode` says so. */
function rules(mode: L7RuleSet['mode'] | undefined): readonly [Readonly<Record<string, readonly PolicyEntry[]>>, readonly L7RuleSet[]] {
  const [CLIENT, SERVER] = [FIRST_CLASS, FIRST_CLASS + 1];
  const ports = [HTTP_PORT, BEHIND_SERVICE];
  const policies = {
    'pod/lab/client': [
      entry('egress', 0, 0, 0, 'deny', 3),
      ...ports.map((port) => (mode === undefined ? entry('egress', SERVER, 6, port, 'allow', 4) : { ...entry('egress', SERVER, 6, port, 'l7', 4), l7: 0 })),
    ],
    'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), ...ports.map((port) => entry('ingress', CLIENT, 6, port, 'allow', 2))],
  };
  return [policies, mode === undefined ? [] : [{ mode, http: [{ method: 'GET', path: '/public/.*', ruleId: 100 }] }]];
}

const seen = new Map<string, Load[]>();

async function measure(name: string, host: string, port: number, mode: L7RuleSet['mode'] | undefined, connections: 'keep' | 'new'): Promise<number> {
  const services = [{ network: 'default', address: SERVICE, port: SERVICE_PORT, protocol: 6, backends: [{ address: server.address, port: BEHIND_SERVICE }] }];
  await lab.apply(...rules(mode), services);
  const { stdout } = await execute('nsenter', nodeIn(client.namespace, 'load', host, String(port), String(SECONDS), connections)).catch((error: Error) => {
    throw new Error(`${name}: ${error.message}`);
  });
  await lab.drain();
  const load = JSON.parse(stdout) as Load;
  seen.set(name, [...(seen.get(name) ?? []), load]);
  return load.requests / SECONDS;
}

function middle(numbers: readonly number[]): number {
  return numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)] ?? 0;
}

async function compareAll(): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const connections of ['keep', 'new'] as const) {
    const runs = ([['pod', server.address, HTTP_PORT], ['service', SERVICE, SERVICE_PORT]] as const).flatMap(([to, host, port]) =>
      ([undefined, 'soft', 'hard'] as const).map((mode) => ({ name: `${to}_${mode ?? 'identity'}_${connections}`, run: (name: string) => measure(name, host, port, mode, connections) })),
    );
    const { rates } = await interleave(ROUNDS, runs.map(({ name, run }) => () => run(name)));
    for (const [index, { name }] of runs.entries()) {
      const loads = seen.get(name) ?? [];
      figures[`${name}_us`] = middle(loads.map(({ medianUs }) => medianUs));
      figures[`${name}_p99_us`] = middle(loads.map(({ p99Us }) => p99Us));
      const base = index - (index % 3);
      if (index === base) continue;
      const { median, low, high } = compare(name, (rates[index] ?? []).map((rate, round) => (rates[base]?.[round] ?? NaN) / rate));
      figures[`${name}_ratio`] = Math.round(median * 1000) / 1000;
      process.stderr.write(`${name}: ${median.toFixed(3)} times the time of identities alone (95 %: ${low.toFixed(3)} to ${high.toFixed(3)})\n`);
    }
  }
  return figures;
}

async function main(): Promise<void> {
  const unavailable = kernelUnavailable() ?? gateUnavailable();
  if (unavailable) {
    process.stderr.write(`${unavailable}\n`);
    process.exitCode = 1;
    return;
  }
  await ensureSystemPackages(COMPARISON_NEEDS, 'services that netfilter translates');
  await lab.start();
  const serving = spawn('nsenter', nodeIn(server.namespace, 'serve', String(HTTP_PORT), String(BEHIND_SERVICE)), { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(serving.stdout, 'data');
    lab.network.onNode('nft', 'add table ip proxy; add chain ip proxy prerouting { type nat hook prerouting priority -100 ; }');
    lab.network.onNode('nft', `add rule ip proxy prerouting ip daddr ${SERVICE} tcp dport ${SERVICE_PORT} dnat to ${server.address}:${BEHIND_SERVICE}`);
    await lab.apply(...rules('hard'));
    await lab.startGate(async () => (await lab.ask(client, server.address, '/public/probe')) === 200);
    const figures = await compareAll();
    process.stdout.write(`${JSON.stringify({ bench: 'http', rounds: ROUNDS, figures, ok: true })}\n`);
  } finally {
    serving.kill('SIGKILL');
    await lab.stop();
  }
}

await main();
