/**
 * `npm run load:flows -- --rate R --agents N [--seconds S] [--json]`: flows over the real protocol (mutual TLS, batches,
 * receipts, credits) with the traffic of the flow benchmark. By itself it starts a control plane of its own; with --api,
 * --token-file, --gateway and --gateway-ca it loads one that runs.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ApiClient } from '../../fleet/src/api-client.ts';
import { Fleet } from '../../fleet/src/fleet.ts';
import { startControlPlane, type ControlPlane } from '../../tools/stack/control-plane.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import { percentile } from '../fleet/percentile.ts';
import { processorSeconds } from '../fleet/processor-time.ts';
import { residentBytes } from '../fleet/resident-memory.ts';
import { LoadAgent } from './load-agent.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: { rate: text, agents: text, seconds: text, api: text, 'token-file': text, gateway: text, 'gateway-ca': text, json: { type: 'boolean', default: false } },
});
const rate = Number(values.rate ?? 2_000);
const count = Number(values.agents ?? 20);
const seconds = Number(values.seconds ?? 60);
const tell = (sentence: string): void => void process.stderr.write(`${sentence}\n`);
const own = values.api === undefined;
if (!(rate > 0 && Number.isInteger(count) && count > 0 && seconds > 0) || (!own && (!values['token-file'] || !values.gateway || !values['gateway-ca']))) {
  tell('Usage: npm run load:flows -- --rate FLOWS_PER_SECOND --agents N [--seconds S] [--json]\n    [--api URL --token-file FILE --gateway URL --gateway-ca FILE]');
  process.exit(2);
}

interface Target {
  readonly apiUrl: string;
  readonly tokenFile: string;
  readonly gatewayUrl: string;
  readonly gatewayCaFile: string;
  /** Where the gateway is a process of ours. */
  readonly gatewayPid?: number;
  stop(): Promise<void>;
}

async function ownTarget(): Promise<Target> {
  const dir = mkdtempSync(join(tmpdir(), 'palisade-load-flows-'));
  const state = new StateFolder(dir);
  const plane: ControlPlane = await startControlPlane({ state, gatewayAddress: '127.0.0.1', anyPorts: true, progress: tell, onUnexpectedEnd: (ended, how) => tell(`${ended.name} ended: ${how}`) });
  const pid = plane.processes.gateway.pid;
  return {
    apiUrl: plane.apiUrl, tokenFile: plane.ownerTokenFile, gatewayUrl: plane.gatewayUrl, gatewayCaFile: join(state.keys, 'root/gateway-ca.crt'), ...(pid === undefined ? {} : { gatewayPid: pid }),
    async stop() {
      await plane.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

function runningTarget(): Target {
  return {
    apiUrl: values.api ?? '', tokenFile: values['token-file'] ?? '', gatewayUrl: values.gateway ?? '', gatewayCaFile: values['gateway-ca'] ?? '', stop: () => Promise.resolve(),
  };
}

function total(agents: readonly LoadAgent[], field: keyof LoadAgent['account']): number {
  return agents.reduce((sum, agent) => sum + agent.account[field], 0);
}

const target = own ? await ownTarget() : runningTarget();
let ok = false;
try {
  const api = new ApiClient(target.apiUrl, readFileSync(target.tokenFile, 'utf8').trim());
  const cluster = await api.createCluster(`load-${Date.now()}`);
  const fleet = new Fleet({ url: target.gatewayUrl, ca: readFileSync(target.gatewayCaFile, 'utf8') }, count, () => ({}));
  await fleet.enroll(await api.enrollmentToken(cluster.id, count));
  const agents = fleet.agents.map((agent, index) => new LoadAgent(agent, index, rate / count));
  tell(`${count} agents send ${rate} flows a second for ${seconds} s`);
  const { gatewayPid } = target;
  const cpuBefore = gatewayPid === undefined ? 0 : processorSeconds(gatewayPid);
  const rssBefore = gatewayPid === undefined ? 0 : residentBytes(gatewayPid);
  const startedAt = performance.now();
  const running = Promise.all(agents.map((agent) => agent.run(seconds)));
  let done = false;
  const watch = (async (): Promise<void> => {
    while (!done) {
      await delay(5_000, undefined, { ref: false });
      tell(`made ${total(agents, 'made')}, accepted ${total(agents, 'accepted')}, deferrals ${total(agents, 'deferrals')}, refused ${total(agents, 'refused')}, lost ${total(agents, 'lost')}`);
    }
  })();
  await running;
  await Promise.all(agents.map((agent) => agent.drain(60)));
  done = true;
  void watch;
  const elapsedS = (performance.now() - startedAt) / 1000;
  const accepted = total(agents, 'accepted');
  const waiting = agents.reduce((sum, agent) => sum + agent.waiting, 0);
  const latencies = agents.flatMap((agent) => agent.latencies);
  const figures = {
    made: total(agents, 'made'), accepted, refused: total(agents, 'refused'), lost: total(agents, 'lost'), unanswered: waiting,
    deferrals: total(agents, 'deferrals'), failures: total(agents, 'failures'), accepted_per_s: accepted / elapsedS,
    wire_bytes_per_flow: total(agents, 'wireBytes') / total(agents, 'made'), rows_per_batch: total(agents, 'made') / total(agents, 'batches'),
    receipt_p50_ms: percentile(latencies, 0.5), receipt_p99_ms: percentile(latencies, 0.99),
    ...(gatewayPid === undefined ? {} : { gateway_cpu_us_per_flow: ((processorSeconds(gatewayPid) - cpuBefore) * 1e6) / accepted, gateway_rss_growth_mb: (residentBytes(gatewayPid) - rssBefore) / 2 ** 20 }),
  };
  ok = waiting === 0 && figures.made === accepted + figures.refused + figures.lost;
  const rounded = Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 100) / 100]));
  if (!values.json) for (const [name, value] of Object.entries(rounded)) process.stdout.write(`${name.padEnd(24)} ${value}\n`);
  process.stdout.write(`${JSON.stringify({ bench: 'flow-load', figures: rounded, ok })}\n`);
} finally {
  await target.stop();
}
process.exit(ok ? 0 : 1);
