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

/** `count` policy entries; the traffic's own are the last of them. None: everything is watched and nothing restricted. */
export function policyOf(count: number): PolicyEntry[] {
  if (count === 0) return [];
  const entries: PolicyEntry[] = [entry('ingress', 0, 0, 0, 'deny', 1), entry('egress', 0, 0, 0, 'deny', 3)];
  for (let index = 0; entries.length < count - 4; index += 1) {
    entries.push(entry('egress', 1000 + Math.floor(index / 10), 6, 8000 + (index % 10), 'allow', 4 + 2 * index));
  }
  for (const [port, protocol] of [[5000, 6], [5001, 6], [5002, 6], [5003, 17]] as const) entries.push(entry('egress', SERVER, protocol, port, 'allow', 2));
  return entries;
}

/**
 * The other filters say what Palisade's policy says, in their own words: what belongs to a known connection passes, then `count`
 * pairs of other sources and ports, the traffic's own last, all else is dropped.
 */
function otherPairs(count: number, line: (source: string, port: number) => string): string[] {
  return Array.from({ length: count - 1 }, (_, index) => {
    const host = Math.floor(index / 10);
    return line(`10.200.${(host >> 8) & 255}.${host & 255}`, 8000 + (index % 10));
  });
}

function pinRootOf(network: TestNetwork): string {
  return `/sys/fs/bpf/palisade/bench-${network.id}`;
}

export function palisade(count: number): Filter {
  return async (network) => {
    const [client, server] = [network.pod('client'), network.pod('server')];
    const bytes = readFileSync(OBJECT_PATH);
    const enforcer: Enforcer = createKernelEnforcer({ pinRoot: pinRootOf(network), networkNamespace: network.nodePath });
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

/** A rule each. `legacy`: x_tables; `nft`: the same command over nf_tables. */
export function iptables(count: number, kind: 'legacy' | 'nft'): Filter {
  return async (network) => {
    const [client, server] = [network.pod('client').address, network.pod('server').address];
    const rules = [
      '-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ...otherPairs(count, (source, port) => `-A FORWARD -s ${source}/32 -d ${server}/32 -p tcp -m tcp --dport ${port} -j ACCEPT`),
      `-A FORWARD -s ${client}/32 -d ${server}/32 -j ACCEPT`,
    ];
    load(network, `iptables-${kind}-restore`, ['*filter', ':FORWARD DROP [0:0]', ...rules, 'COMMIT', ''].join('\n'));
    return undefined;
  };
}

/** True: this machine has the command. */
export function hasCommand(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin').some((folder) => existsSync(`${folder}/${name}`));
}

/** A chain that passes what is known, then decides by `rules`; `declarations` come before it. */
function nftTable(declarations: string, rules: readonly string[]): string {
  return [
    'table ip bench {', declarations, 'chain forward {', 'type filter hook forward priority 0; policy drop;', 'ct state established,related accept',
    ...rules, '}', '}', '',
  ].join('\n');
}

/** A rule each. */
export function nftRules(count: number): Filter {
  return async (network) => {
    const [client, server] = [network.pod('client').address, network.pod('server').address];
    load(network, 'nft -f -', nftTable('', [
      ...otherPairs(count, (source, port) => `ip saddr ${source} ip daddr ${server} tcp dport ${port} accept`),
      `ip saddr ${client} ip daddr ${server} accept`,
    ]));
    return undefined;
  };
}

const NFT_KEY = 'ipv4_addr . ipv4_addr . inet_proto . inet_service';

/** The elements of a set or map over source, destination, protocol and port: other pairs, then the traffic's own. */
function nftElements(count: number, network: TestNetwork, verdict: string): string {
  const [client, server] = [network.pod('client').address, network.pod('server').address];
  const own = [5000, 5001, 5002, 5003].flatMap((port) => ['tcp', 'udp'].map((protocol) => `${client} . ${server} . ${protocol} . ${port}${verdict}`));
  const others = otherPairs(count - own.length + 1, (source, port) => `${source} . ${server} . tcp . ${port}${verdict}`);
  return [...others, ...own].join(',\n');
}

/** One lookup in a verdict map. */
export function nftMap(count: number): Filter {
  return async (network) => {
    const elements = nftElements(count, network, ' : accept');
    load(network, 'nft -f -', nftTable(
      `map verdicts { type ${NFT_KEY} : verdict; elements = { ${elements} }; }`,
      ['ip saddr . ip daddr . meta l4proto . th dport vmap @verdicts'],
    ));
    return undefined;
  };
}

/** One lookup in a set of what may pass. */
export function nftSet(count: number): Filter {
  return async (network) => {
    const elements = nftElements(count, network, '');
    load(network, 'nft -f -', nftTable(
      `set allowed { type ${NFT_KEY}; elements = { ${elements} }; }`,
      ['ip saddr . ip daddr . meta l4proto . th dport @allowed accept'],
    ));
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

  /** Of the enforcer, where the filter is one. */
  get pinRoot(): string {
    return pinRootOf(this.#network);
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
