import { createHash } from 'node:crypto';
import {
  CONTROL_BYPASS,
  ENDPOINT_COUNTERS,
  buildMapImage,
  plan,
  type DesiredBank,
  type KernelFlowEvent,
  type KernelPort,
  type LocalEndpoint,
} from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import { executeAction, type ExecutionContext } from './action-executor.ts';
import type { DatapathCounters, DesiredState, Enforcer, KernelFeatures, RunningState } from './enforcer.ts';
import { FlowDrain } from './flow-drain.ts';
import { HttpDrain } from './http-drain.ts';
import { MapSet, rowKey } from './map-set.ts';
import { Pins } from './pins.ts';
import { ProgramSet, endpointObject } from './program-set.ts';
import { readObservedState, readProgramDigest, type ReadState } from './read-observed-state.ts';

export interface KernelEnforcerOptions {
  /** This node's folder in the BPF file system, for example `/sys/fs/bpf/palisade/node-a`. */
  readonly pinRoot: string;
  /** The kernel; by default the one this process runs on. */
  readonly kernel?: KernelPort;
  /** Path of the node's network namespace where the process itself runs in another one. */
  readonly networkNamespace?: string;
  /** Mount point of cgroup v2; by default found through mountinfo. */
  readonly cgroupRoot?: string;
  /** Sizes of maps that differ from the object's; they take effect when the maps are created. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** How often living connections tell their counters; 5,000 by default. */
  readonly deltaIntervalMs?: number;
  /** For how long after the first attachment connections that are older than it are adopted; 60,000 by default. */
  readonly adoptionMs?: number;
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}

const NOTHING: RunningState = { policyRevision: 0, identityRevision: 0, endpoints: [] };
const DELTA_INTERVAL_MS = 5000;
const ADOPTION_MS = 60_000;

/** The enforcer on a real kernel (or on the fake one, in tests). */
class KernelEnforcer implements Enforcer {
  readonly #kernel: KernelPort;
  readonly #pins: Pins;
  readonly #maps: MapSet;
  readonly #programs: ProgramSet;
  readonly #namespace: string | undefined;
  readonly #adoptionMs: number;
  readonly #failures = new Map<number, string>();
  readonly #drain: FlowDrain;
  readonly #http: HttpDrain;

  constructor(options: KernelEnforcerOptions) {
    this.#kernel = options.kernel ?? new NativeKernel();
    this.#pins = new Pins(options.pinRoot);
    this.#maps = new MapSet(this.#kernel, this.#pins);
    this.#programs = new ProgramSet(this.#kernel, this.#pins, options.maxEntries ?? {});
    this.#drain = new FlowDrain(this.#kernel, this.#maps, this.#programs, options.deltaIntervalMs ?? DELTA_INTERVAL_MS);
    this.#http = new HttpDrain(this.#kernel, this.#maps);
    this.#adoptionMs = options.adoptionMs ?? ADOPTION_MS;
    this.#namespace = options.networkNamespace;
  }

  #inNode<T>(work: () => T): T {
    return this.#namespace === undefined ? work() : this.#kernel.inNetworkNamespace(this.#namespace, work);
  }

  async features(): Promise<KernelFeatures> {
    return { kernelRelease: this.#kernel.release(), features: this.#kernel.features() };
  }

  async adopt(): Promise<RunningState> {
    this.#kernel.preparePins(this.#pins.base);
    return this.running();
  }

  async running(): Promise<RunningState> {
    if (!this.#maps.exist()) return NOTHING;
    return this.#inNode(() => this.#runningState(readObservedState(this.#kernel, this.#maps, this.#pins)));
  }

  #runningState(observed: ReadState): RunningState {
    const { current } = observed;
    const bypassed = (this.#maps.control().flags & CONTROL_BYPASS) !== 0;
    const links = new Map(observed.links.map((link) => [link.slot, link]));
    return {
      ...(current.contentDigest !== '' && { contentDigest: current.contentDigest }),
      ...(current.bundleGeneration !== '' && { generation: current.bundleGeneration }),
      policyRevision: current.policyRevision,
      identityRevision: current.identityRevision,
      endpoints: observed.rows.map(({ slot, key, attach }) => {
        const link = links.get(slot);
        const attached = link !== undefined && link.ingressIfindex !== 0 && link.egressIfindex !== 0;
        if (attached && !bypassed) return { key, protected: true };
        const reason = bypassed ? 'enforcement is disabled (break-glass)' : (this.#failures.get(slot) ?? `no program is attached to ${attach}`);
        return { key, protected: false, reason };
      }),
    };
  }

  #interfaces(endpoints: readonly LocalEndpoint[]): Map<number, number> {
    const found = new Map<number, number>();
    this.#failures.clear();
    for (const { slot, attach } of endpoints) {
      if (attach.kind === 'cgroup') {
        this.#failures.set(slot, 'host units in cgroups are not enforced by this version');
        continue;
      }
      const ifindex = this.#kernel.interfaceIndex(attach.ifname);
      if (ifindex === 0) this.#failures.set(slot, `there is no interface ${attach.ifname} in the node's network namespace`);
      else found.set(slot, ifindex);
    }
    return found;
  }

  async apply(desired: DesiredState): Promise<RunningState> {
    return this.#inNode(() => {
      const object = endpointObject(desired.programs);
      const image = buildMapImage(desired, sha256);
      this.#kernel.preparePins(this.#pins.base);
      this.#programs.ensure(object);
      const afterDnat = this.#programs.ensureNetfilter(object.sha256);
      this.#programs.ensureTracepoint(object.sha256);
      const target: DesiredBank = {
        contentDigest: desired.contentDigest,
        bundleGeneration: desired.generation,
        policyRevision: desired.resolved.policyRevision,
        identityRevision: desired.resolved.identityRevision,
        programDigest: object.sha256,
        image,
        interfaces: this.#interfaces(desired.endpoints),
      };
      const observed = readObservedState(this.#kernel, this.#maps, this.#pins, object.sha256);
      const context: ExecutionContext = {
        kernel: this.#kernel,
        maps: this.#maps,
        pins: this.#pins,
        programs: this.#programs,
        desired: target,
        previousProgram: observed.current.programDigest,
        afterDnat,
        adoptionNs: observed.links.length === 0 ? BigInt(this.#adoptionMs) * 1_000_000n : 0n,
        failures: this.#failures,
      };
      for (const action of plan(observed, target)) executeAction(action, context);
      this.#programs.collect(new Set([object.sha256, observed.current.programDigest]));
      return this.#runningState(readObservedState(this.#kernel, this.#maps, this.#pins));
    });
  }

  async drain(limit: number): Promise<readonly KernelFlowEvent[]> {
    if (!this.#maps.exist()) return [];
    const programDigest = readProgramDigest(this.#kernel, this.#maps);
    if (programDigest === '') return [];
    const events = this.#drain.drain(limit, programDigest);
    return [...events, ...this.#http.drain(limit - events.length)];
  }

  async counters(): Promise<DatapathCounters> {
    const empty = { forwardedPackets: 0n, droppedPackets: 0n, auditedPackets: 0n, perEndpoint: [], losses: { ringFull: 0n, evicted: 0n } };
    if (!this.#maps.exist()) return empty;
    const observed = readObservedState(this.#kernel, this.#maps, this.#pins);
    const perEndpoint = observed.rows.map(({ slot, key }) => ({ key, ...this.#endpointCounters(slot) }));
    const total = (pick: (counters: (typeof perEndpoint)[number]) => bigint): bigint => perEndpoint.reduce((sum, one) => sum + pick(one), 0n);
    return {
      forwardedPackets: total((one) => one.forwardedPackets),
      droppedPackets: total((one) => one.droppedPackets),
      auditedPackets: total((one) => one.auditedPackets),
      perEndpoint: perEndpoint.map(({ key, forwardedPackets, droppedPackets }) => ({ key, forwardedPackets, droppedPackets })),
      losses: this.#drain.losses(),
      http: this.#http.counts(),
    };
  }

  #endpointCounters(slot: number): { forwardedPackets: bigint; droppedPackets: bigint; auditedPackets: bigint } {
    const sum = { forwardedPackets: 0n, droppedPackets: 0n, auditedPackets: 0n };
    const values = this.#kernel.lookup(this.#maps.map('endpoint_counters'), rowKey(slot)) ?? new Uint8Array();
    for (let at = 0; at < values.length; at += ENDPOINT_COUNTERS.size) {
      const counters = ENDPOINT_COUNTERS.decode(values, at);
      sum.forwardedPackets += counters.forwarded_packets;
      sum.droppedPackets += counters.dropped_packets;
      sum.auditedPackets += counters.audited_packets;
    }
    return sum;
  }

  async disable(): Promise<void> {
    this.#setBypass(true);
  }

  async enable(): Promise<void> {
    this.#setBypass(false);
  }

  #setBypass(on: boolean): void {
    if (!this.#maps.exist()) return;
    const control = this.#maps.control();
    this.#maps.writeControl({ ...control, flags: on ? control.flags | CONTROL_BYPASS : control.flags & ~CONTROL_BYPASS });
  }

  async uninstall(): Promise<void> {
    for (const folder of [this.#pins.links, this.#pins.netfilter, this.#pins.tracepoints]) {
      for (const name of this.#kernel.listPins(folder)) {
        const link = this.#kernel.openPin(`${folder}/${name}`);
        if (link === undefined) continue;
        this.#kernel.detach(link);
        this.#kernel.close(link);
      }
    }
    await this.close();
    this.#kernel.removePin(this.#pins.root);
  }

  async close(): Promise<void> {
    this.#drain.close();
    this.#http.close();
    this.#maps.close();
  }
}

/**
 * The enforcer of one node. Several may run on one machine, each with its own pin root, in its node's network namespace.
 * @throws DomainError `kernel.unsupported` when the native addon is missing
 */
export function createKernelEnforcer(options: KernelEnforcerOptions): Enforcer {
  return new KernelEnforcer(options);
}
