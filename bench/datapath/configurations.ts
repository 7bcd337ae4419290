/** The networks that are compared: one each, all up at once, so that nothing is switched between measurements. */

import { spawn, type ChildProcess } from 'node:child_process';
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { PolicyEntry } from '@palisade/policy';
import type { Enforcer } from '../../apps/agent/src/enforcer/enforcer.ts';
import { createKernelEnforcer } from '../../apps/agent/src/enforcer/kernel-enforcer.ts';
import { OBJECT_PATH } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';
import { entry, resolvedNode } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';
import { TestNetwork } from '../../apps/agent/src/enforcer/testing/test-network.ts';

const run = promisify(execFile);
const SERVER = 900_001;
const CLIENT_KEY = 'pod/bench/client';

export type Filter = (network: TestNetwork) => Promise<(() => Promise<void>) | undefined>;

/** `count` policy entries; the traffic's own are the last of them. */
export function policyOf(count: number): PolicyEntry[] {
  const entries: PolicyEntry[] = [entry('ingress', 0, 0, 0, 'deny', 1), entry('egress', 0, 0, 0, 'deny', 3)];
  for (let index = 0; entries.length < count - 4; index += 1) {
    entries.push(entry('egress', 1000 + Math.floor(index / 10), 6, 8000 + (index % 10), 'allow', 4 + 2 * index));
  }
  for (const [port, protocol] of [[5000, 6], [5001, 6], [5002, 6], [5003, 17]] as const) entries.push(entry('egress', SERVER, protocol, port, 'allow', 2));
  return entries;
}

/** Drops to other addresses and ports, then accepts: what a rule list has to walk. */
function ruleLines(count: number, line: (address: string, port: number) => string): string {
  return Array.from({ length: count }, (_, index) => line(`10.200.${(index >> 8) & 255}.${index & 255}`, 8000 + (index % 10))).join('\n');
}

export function palisade(count: number): Filter {
  return async (network) => {
    const [client, server] = [network.pod('client'), network.pod('server')];
    const bytes = readFileSync(OBJECT_PATH);
    const enforcer: Enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/bench-${network.id}`, networkNamespace: network.nodePath });
    await enforcer.apply({
      contentDigest: 'bench', generation: '1.1',
      programs: [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }],
      resolved: resolvedNode({ [CLIENT_KEY]: policyOf(count) }, [{ cidr: `${server.address}/32`, peerClass: SERVER, identity: 1000 }]),
      endpoints: [{ key: CLIENT_KEY, slot: 1, attach: { kind: 'interface', ifname: client.ifname }, network: 'default', addresses: [client.address] }],
    });
    // Events stay on: they are drained as an agent would.
    const timer = setInterval(() => void enforcer.drainBatches(100_000), 100);
    return async () => {
      clearInterval(timer);
      await enforcer.uninstall();
    };
  };
}

function load(network: TestNetwork, command: string, input: string): void {
  execFileSync('nsenter', [`--net=${network.nodePath}`, ...command.split(' ')], { input, stdio: ['pipe', 'ignore', 'pipe'] });
}

/** `legacy`: x_tables; `nft`: the same command over nf_tables. */
export function iptables(count: number, kind: 'legacy' | 'nft'): Filter {
  return async (network) => {
    const rules = ruleLines(count, (address, port) => `-A FORWARD -d ${address}/32 -p tcp -m tcp --dport ${port} -j DROP`);
    load(network, `iptables-${kind}-restore`, `*filter\n:FORWARD ACCEPT [0:0]\n${rules}\nCOMMIT\n`);
    return undefined;
  };
}

/** True: this machine has the command. */
export function hasCommand(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin').some((folder) => existsSync(`${folder}/${name}`));
}

export function nftRules(count: number): Filter {
  return async (network) => {
    const rules = ruleLines(count, (address, port) => `add rule ip bench forward ip daddr ${address} tcp dport ${port} drop`);
    load(network, 'nft -f -', `add table ip bench\nadd chain ip bench forward { type filter hook forward priority 0 ; }\n${rules}\n`);
    return undefined;
  };
}

export function nftMap(count: number): Filter {
  return async (network) => {
    const elements = ruleLines(count, (address, port) => `${address} . ${port} : drop,`);
    load(network, 'nft -f -',
      `add table ip bench\nadd map ip bench verdicts { type ipv4_addr . inet_service : verdict ; }\nadd element ip bench verdicts {\n${elements}\n}\n` +
      'add chain ip bench forward { type filter hook forward priority 0 ; }\nadd rule ip bench forward ip daddr . th dport vmap @verdicts\n');
    return undefined;
  };
}

/** A set of denied (address, port) pairs. */
export function nftSet(count: number): Filter {
  return async (network) => {
    const elements = ruleLines(count, (address, port) => `${address} . ${port},`);
    load(network, 'nft -f -',
      `add table ip bench\nadd set ip bench denied { type ipv4_addr . inet_service ; }\nadd element ip bench denied {\n${elements}\n}\n` +
      'add chain ip bench forward { type filter hook forward priority 0 ; }\nadd rule ip bench forward ip daddr . th dport @denied drop\n');
    return undefined;
  };
}

export type TrafficKind = 'rr' | 'crr' | 'udp' | 'stream';
const SERVER_CPU = 1;
/**
 * Request and response share a processor with the server: one operation is then the work of both ends and of the path, without
 * the wake-up of an idle processor, which varies more than any filter costs. Floods have a processor for each end.
 */
const CLIENT_CPU: Readonly<Record<TrafficKind, number>> = { rr: SERVER_CPU, crr: SERVER_CPU, udp: 0, stream: 0 };

/** A client and a server behind one routing node, with one filter on it. */
export class Configuration {
  readonly #network = new TestNetwork(['client', 'server']);
  readonly #traffic: string;
  #server?: ChildProcess;
  #undo: (() => Promise<void>) | undefined;

  constructor(traffic: string) {
    this.#traffic = traffic;
  }

  async start(filter: Filter | undefined): Promise<void> {
    this.#network.create();
    const client = this.#network.pod('client');
    client.run('sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65000', 'net.ipv4.tcp_tw_reuse=1', 'net.ipv4.tcp_max_tw_buckets=2000');
    this.#server = spawn('nsenter', [`--net=/run/netns/${this.#network.pod('server').namespace}`, this.#traffic, 'server', String(SERVER_CPU)], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => this.#server?.stdout?.once('data', resolve));
    this.#undo = await filter?.(this.#network);
  }

  get network(): TestNetwork {
    return this.#network;
  }

  /** Operations (streams: bytes) per second of `kind` over `seconds`. */
  async measure(kind: TrafficKind, seconds: number): Promise<number> {
    const { stdout } = await run('nsenter', [
      `--net=/run/netns/${this.#network.pod('client').namespace}`, this.#traffic, kind, this.#network.pod('server').address, String(seconds), String(CLIENT_CPU[kind]),
    ]);
    return Number(stdout);
  }

  async stop(): Promise<void> {
    await this.#undo?.();
    this.#server?.kill('SIGKILL');
    await this.#network.remove();
  }
}
