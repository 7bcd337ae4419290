import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { KernelFlowEvent, LocalEndpoint, ServiceAddress } from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import type { L7RuleSet, PolicyEntry, ResolvedNode } from '@palisade/policy';
import type { Enforcer } from '../enforcer.ts';
import { createKernelEnforcer, type KernelEnforcerOptions } from '../kernel-enforcer.ts';
import { GateProcess, HttpServerProcess, RawClient } from './http-processes.ts';
import { OBJECT_PATH } from './kernel-available.ts';
import { resolvedNode } from './resolved-fixture.ts';
import { TestNetwork, type TestPod } from './test-network.ts';

const execute = promisify(execFile);

export const HTTP_PORT = 8080;
/** Peer classes of the pods, in the order of their names. */
export const FIRST_CLASS = 11;
const FIRST_IDENTITY = 1000;

/** A node with pods of which some serve HTTP, a real enforcer, and a real HTTP gate where a test starts one. */
export class HttpLab {
  readonly network: TestNetwork;
  readonly folder = mkdtempSync(join(tmpdir(), 'palisade-http-'));
  readonly socketPath = join(this.folder, 'gate.sock');
  readonly options: KernelEnforcerOptions;
  readonly #addresses: readonly { readonly cidr: string; readonly peerClass: number; readonly identity: number }[];
  readonly #endpoints: readonly LocalEndpoint[];
  readonly #servers: HttpServerProcess[] = [];
  #enforcer: Enforcer | undefined;
  #gate: GateProcess | undefined;
  #revision = 0;

  /**
   * @param pods names
   * @param more `outside`: those of them that are no endpoints of the node; `without`: features of the kernel to do without
   */
  constructor(pods: readonly string[], { outside = [], without = [] }: { readonly outside?: readonly string[]; readonly without?: readonly string[] } = {}) {
    this.network = new TestNetwork(pods);
    this.options = {
      pinRoot: `/sys/fs/bpf/palisade/test-${this.network.id}`, networkNamespace: this.network.nodePath, httpGateSocket: this.socketPath,
      ...(without.length > 0 && { kernel: new NativeKernel(undefined, without) }), adoptionMs: 0, deltaIntervalMs: 0,
    };
    this.#addresses = this.network.pods.flatMap(({ address, address6 }, index) =>
      [`${address}/32`, `${address6}/128`].map((cidr) => ({ cidr, peerClass: FIRST_CLASS + index, identity: FIRST_IDENTITY + index })),
    );
    this.#endpoints = this.network.pods.flatMap((pod, index) => (outside.includes(pod.name) ? [] : [{
      key: `pod/lab/${pod.name}`, slot: index + 1, attach: { kind: 'interface' as const, ifname: pod.ifname }, network: 'default', addresses: [pod.address, pod.address6],
    }]));
  }

  get enforcer(): Enforcer {
    return (this.#enforcer ??= createKernelEnforcer(this.options));
  }

  /** What an agent's end leaves: everything in force, and nobody who looks after it. The next use of `enforcer` is a new agent's. */
  async leave(): Promise<void> {
    await this.#enforcer?.close();
    this.#enforcer = undefined;
  }

  get gate(): GateProcess {
    if (this.#gate === undefined) throw new Error('no gate runs');
    return this.#gate;
  }

  async start(...servers: readonly TestPod[]): Promise<HttpServerProcess[]> {
    chmodSync(this.folder, 0o755);
    this.network.create();
    for (const { namespace } of servers) this.#servers.push(await new HttpServerProcess(`/run/netns/${namespace}`, HTTP_PORT).ready());
    return this.#servers;
  }

  /** By keys `pod/lab/NAME`. */
  apply(policies: Readonly<Record<string, readonly PolicyEntry[]>>, l7Rules: readonly L7RuleSet[] = [], services: readonly ServiceAddress[] = []): Promise<void> {
    return this.applyResolved({ ...resolvedNode(policies, this.#addresses, this.#revision + 1), l7Rules }, services);
  }

  async applyResolved(resolved: ResolvedNode, services: readonly ServiceAddress[] = []): Promise<void> {
    this.#revision += 1;
    const object = readFileSync(OBJECT_PATH);
    await this.enforcer.apply({
      contentDigest: `sha256:${this.#revision}`, generation: `1.${this.#revision}`, endpoints: this.#endpoints, services,
      programs: [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }],
      resolved,
    });
  }

  /** Starts the gate and waits until `probe` says that it works. */
  async startGate(probe: () => Promise<boolean>): Promise<void> {
    this.#gate = new GateProcess(this.network.nodePath, this.socketPath);
    // A connection that began before the gate listens may give up first.
    for (let attempt = 0; attempt < 100 && !(await probe().catch(() => false)); attempt += 1) if (this.gate.ended) throw new Error(this.gate.errors);
  }

  async raw(from: TestPod, host: string, port = HTTP_PORT): Promise<RawClient> {
    const one = new RawClient(`/run/netns/${from.namespace}`, host, port);
    return one.connected().catch(async (error: unknown) => {
      await one.kill();
      throw error;
    });
  }

  /** Status of the answer to a GET. */
  async ask(from: TestPod, host: string, path: string, port = HTTP_PORT): Promise<number> {
    const one = await this.raw(from, host, port);
    one.say(`GET ${path} HTTP/1.1\r\nHost: server.example\r\n\r\n`);
    const [status = 0] = await one.answers(1);
    await one.kill();
    return status;
  }

  /** Body and status. The agent's part of the gate runs in this process, which therefore must not wait synchronously. */
  async curl(from: TestPod, url: string, ...more: string[]): Promise<string> {
    const words = ['curl', '-s', '-g', '--max-time', '5', '-o', '-', '-w', '%{http_code}', ...more, url];
    return (await execute('nsenter', [`--net=/run/netns/${from.namespace}`, ...words])).stdout;
  }

  drain(): Promise<readonly KernelFlowEvent[]> {
    return this.enforcer.drain(100_000);
  }

  async stop(): Promise<void> {
    await this.#gate?.kill();
    for (const server of this.#servers) await server.kill();
    await this.#enforcer?.uninstall();
    await this.network.remove();
    rmSync(this.folder, { recursive: true });
  }
}
