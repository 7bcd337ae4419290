import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CONNECTION, type Descriptor, type KernelFlowEvent, type TestRun } from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import type { PolicyEntry, ResolvedNode } from '@palisade/policy';
import type { DesiredState, Enforcer } from '../enforcer.ts';
import { createKernelEnforcer } from '../kernel-enforcer.ts';
import { Pins } from '../pins.ts';
import { OBJECT_PATH } from './kernel-available.ts';
import { resolvedNode } from './resolved-fixture.ts';

const ENDPOINT = 'pod/lab/subject';
const SHOT = 2;
const REDIRECT = 7;

/**
 * The programs of one endpoint on crafted packets: an empty network namespace whose loopback interface is the endpoint, so
 * that BPF_PROG_TEST_RUN (which runs on loopback) finds it. No packet ever leaves.
 */
export class PacketLab {
  readonly kernel = new NativeKernel();
  readonly #id = `pl${randomBytes(3).toString('hex')}`;
  readonly #pins = new Pins(`/sys/fs/bpf/palisade/${this.#id}`);
  readonly #enforcer: Enforcer;
  readonly #object = readFileSync(OBJECT_PATH);
  readonly #programs = new Map<string, Descriptor>();
  #revision = 0;

  /** @param maxEntries sizes of maps that differ from the object's */
  constructor(maxEntries: Readonly<Record<string, number>> = {}) {
    execFileSync('ip', ['netns', 'add', this.#id]);
    this.#enforcer = createKernelEnforcer({
      pinRoot: this.#pins.root, kernel: this.kernel, networkNamespace: `/run/netns/${this.#id}`, deltaIntervalMs: 3_600_000, adoptionMs: 0,
      maxEntries,
    });
  }

  get programDigest(): string {
    return createHash('sha256').update(this.#object).digest('hex');
  }

  /** What `applyNode` would apply. */
  desired(resolved: ResolvedNode, more: Partial<DesiredState> = {}): DesiredState {
    this.#revision += 1;
    return {
      contentDigest: `${this.#revision}`, generation: `1.${this.#revision}`, resolved,
      programs: [{ name: 'endpoint', sha256: this.programDigest, bytes: this.#object }],
      endpoints: [{ key: ENDPOINT, slot: 1, attach: { kind: 'interface', ifname: 'lo' }, network: 'default', addresses: [] }],
      ...more,
    };
  }

  async applyNode(resolved: ResolvedNode, more: Partial<DesiredState> = {}): Promise<void> {
    await this.#enforcer.apply(this.desired(resolved, more));
    await this.events();
  }

  apply(entries: readonly PolicyEntry[], addresses: Parameters<typeof resolvedNode>[1], more: Partial<DesiredState> = {}): Promise<void> {
    return this.applyNode(resolvedNode({ [ENDPOINT]: entries }, addresses, this.#revision + 1), more);
  }

  program(name: string): Descriptor {
    const known = this.#programs.get(name) ?? this.kernel.openPin(this.#pins.program(this.programDigest, name));
    if (known === undefined) throw new Error(`the program ${name} is not pinned`);
    this.#programs.set(name, known);
    return known;
  }

  map(name: string): Descriptor {
    const found = this.kernel.openPin(this.#pins.map(name));
    if (found === undefined) throw new Error(`the map ${name} is not pinned`);
    return found;
  }

  #run(name: string, frame: Uint8Array, repeat = 1): TestRun {
    return this.kernel.inNetworkNamespace(`/run/netns/${this.#id}`, () => this.kernel.testRun(this.program(name), frame, { repeat }));
  }

  /** What the workload sends. True: it passes; a question that comes back refused does not. */
  sends(frame: Uint8Array): boolean {
    const { result } = this.#run('from_endpoint', frame);
    return result !== SHOT && result !== REDIRECT;
  }

  /** What arrives for the workload. */
  receives(frame: Uint8Array): boolean {
    return this.#run('to_endpoint', frame).result !== SHOT;
  }

  /** What becomes of a packet that the workload sends: undefined where it is dropped, and whether it was turned round. */
  answerTo(frame: Uint8Array): { readonly packet: Uint8Array; readonly turned: boolean } | undefined {
    const { result, packet } = this.#run('from_endpoint', frame);
    return result === SHOT ? undefined : { packet, turned: result === REDIRECT };
  }

  /** Loads one more program over the same maps, under its own name. */
  loadBeside(object: Uint8Array, name: string): void {
    const loaded = this.kernel.load({ object, mapPins: this.#pins.maps, programs: [{ name, kind: 'interface' }] });
    for (const map of Object.values(loaded.maps)) this.kernel.close(map);
    const program = loaded.programs[name];
    if (program !== undefined) this.#programs.set(name, program);
  }

  /** Average nanoseconds of one run. */
  cost(name: string, frame: Uint8Array, repeat: number): number {
    return this.#run(name, frame, repeat).durationNs;
  }

  /** What was reported since the last call. Denials are forgotten then, so that each is an event again. */
  async events(): Promise<readonly KernelFlowEvent[]> {
    const events = await this.#enforcer.drain(1_000_000);
    this.#empty('denials');
    return events;
  }

  /** Makes every connection `ms` older. */
  age(ms: number): void {
    for (const name of ['connections4', 'connections6']) {
      const map = this.map(name);
      const content = this.kernel.readAll(map);
      const keySize = content.keys.length / Math.max(1, content.count);
      for (let at = 0; at < content.count; at += 1) {
        const entry = CONNECTION.decode(content.values, at * CONNECTION.size);
        const older = CONNECTION.encode({ ...entry, last_seen_ns: entry.last_seen_ns - BigInt(ms) * 1_000_000n });
        this.kernel.update(map, content.keys.slice(at * keySize, (at + 1) * keySize), older);
      }
      this.kernel.close(map);
    }
  }

  #empty(name: string): void {
    const map = this.map(name);
    const content = this.kernel.readAll(map);
    this.kernel.deleteBatch(map, content.keys, content.count);
    this.kernel.close(map);
  }

  /** Empties the connection tables. */
  forget(): void {
    for (const name of ['connections4', 'connections6']) this.#empty(name);
  }

  /** Another agent over the same state, which asks for all counters at every drain. The caller closes it. */
  exporter(): Enforcer {
    return createKernelEnforcer({ pinRoot: this.#pins.root, kernel: this.kernel, networkNamespace: `/run/netns/${this.#id}`, deltaIntervalMs: 0 });
  }

  get enforcer(): Enforcer {
    return this.#enforcer;
  }

  async remove(): Promise<void> {
    await this.#enforcer.uninstall();
    execFileSync('ip', ['netns', 'del', this.#id]);
  }
}
