import { createHash } from 'node:crypto';
import {
  CONTROL_BYPASS,
  buildMapImage,
  plan,
  type Action,
  type AttachmentTarget,
  type DesiredBank,
  FlowEventList,
  eventsOf,
  type KernelFlowBatch,
  type KernelFlowEvent,
  type KernelLossCounters,
  type KernelPort,
  type LocalEndpoint,
} from '@palisade/dataplane';
import { cgroup2Mount, NativeKernel } from '@palisade/kernel';
import { executeAction, type ExecutionContext } from './action-executor.ts';
import { AfterDnat, looksAfterDnat } from './after-dnat.ts';
import { Attachments, ifindexOf } from './attachments.ts';
import type { DatapathCounters, DesiredState, Enforcer, KernelFeatures, ProgramObject, RunningState } from './enforcer.ts';
import { DnsDrain } from './dns-drain.ts';
import { retireEarlierDatapaths } from './earlier-datapath.ts';
import { EndpointPlaces } from './endpoint-places.ts';
import { FlowDrain } from './flow-drain.ts';
import { ownCgroup } from './host-units.ts';
import { HttpGate, endSteering } from '../http-gate/http-gate.ts';
import { HttpDrain } from './http-drain.ts';
import { writeLifelines } from './lifelines.ts';
import { MapSet } from './map-set.ts';
import { detachPinned } from './pinned-links.ts';
import { Pins } from './pins.ts';
import { ensureProcessHooks } from './process-hooks.ts';
import { ProcessNames, type ArgumentSetting } from './process-names.ts';
import { ProgramSet, endpointObject } from './program-set.ts';
import { readCounters } from './read-counters.ts';
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
  /** What flows say of the arguments of processes; `hash` by default. */
  readonly processArguments?: ArgumentSetting;
  /** DNS resolvers of this node, which host units always reach; asked at every apply. */
  readonly lifelines?: () => readonly string[];
  /** Sizes of maps that differ from the object's; they take effect when the maps are created. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** How often living connections tell their counters; 5,000 by default. */
  readonly deltaIntervalMs?: number;
  /** UNIX socket that the node's HTTP gate connects to; without it rules on HTTP drop what they select. */
  readonly httpGateSocket?: string;
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
  readonly #afterDnat: AfterDnat;
  readonly #attachments: Attachments;
  readonly #processes: ProcessNames;
  readonly #cgroups: string | undefined;
  readonly #places: EndpointPlaces;
  readonly #lifelines: () => readonly string[];
  readonly #namespace: string | undefined;
  readonly #adoptionMs: number;
  readonly #drain: FlowDrain;
  readonly #http: HttpDrain;
  readonly #dns: DnsDrain;
  readonly #gate: HttpGate | undefined;

  constructor(options: KernelEnforcerOptions) {
    this.#kernel = options.kernel ?? new NativeKernel();
    this.#pins = new Pins(options.pinRoot);
    this.#maps = new MapSet(this.#kernel, this.#pins);
    this.#programs = new ProgramSet(this.#kernel, this.#pins, options.maxEntries ?? {});
    this.#afterDnat = new AfterDnat(this.#kernel, this.#pins, this.#programs);
    this.#attachments = new Attachments(this.#kernel, this.#maps, this.#pins, this.#programs);
    this.#cgroups = options.cgroupRoot ?? cgroup2Mount();
    this.#places = new EndpointPlaces(this.#kernel, { mount: this.#cgroups, own: ownCgroup() });
    this.#processes = new ProcessNames(this.#kernel, this.#maps, options.processArguments ?? 'hash');
    this.#lifelines = options.lifelines ?? (() => []);
    this.#drain = new FlowDrain(this.#kernel, this.#maps, this.#programs, options.deltaIntervalMs ?? DELTA_INTERVAL_MS);
    this.#http = new HttpDrain(this.#kernel, this.#maps);
    this.#dns = new DnsDrain(this.#kernel, this.#maps);
    this.#gate = options.httpGateSocket === undefined ? undefined : new HttpGate(this.#kernel, this.#maps, options.httpGateSocket);
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
    return this.#inNode(() => this.#runningState(this.#observed()));
  }

  #observed(programDigest?: string): ReadState {
    return readObservedState(this.#kernel, this.#maps, this.#pins, this.#attachments, programDigest);
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
        const target = links.get(slot)?.target ?? '';
        const unprotectedMs = this.#places.unprotectedMs(ifindexOf(target));
        if (target !== '' && !bypassed) return { key, protected: true, ...(unprotectedMs !== undefined && { unprotectedMs }) };
        const reason = bypassed ? 'enforcement is disabled (break-glass)' : (this.#places.failures.get(slot) ?? `no program is attached to ${attach}`);
        return { key, protected: false, reason };
      }),
    };
  }

  /** Programs of host units, where there are any. A kernel that refuses them leaves the units unprotected, and nothing else. */
  #ensureHost(object: ProgramObject, endpoints: readonly LocalEndpoint[], targets: Map<number, AttachmentTarget>): void {
    const units = endpoints.filter(({ attach }) => attach.kind === 'cgroup');
    if (units.length === 0) return;
    try {
      this.#programs.ensureHost(object);
    } catch (error) {
      for (const { slot } of units) {
        targets.delete(slot);
        this.#places.failures.set(slot, `this kernel does not run the programs of host units: ${(error as Error).message}`);
      }
    }
    writeLifelines(this.#kernel, this.#maps, this.#lifelines());
  }

  async apply(desired: DesiredState): Promise<RunningState> {
    const { actions, context } = this.#inNode(() => this.#prepare(desired));
    await this.#gate?.announce(actions, desired);
    const state = this.#inNode(() => {
      for (const action of actions) {
        executeAction(action, context);
        if (action.kind === 'attach') this.#places.attached(action.endpoint.slot, ifindexOf(action.target));
      }
      if (!looksAfterDnat(desired)) this.#afterDnat.remove();
      retireEarlierDatapaths(this.#kernel, this.#pins);
      this.#programs.collect(new Set([context.desired.programDigest, context.previousProgram]));
      return this.#runningState(this.#observed());
    });
    await this.#gate?.activated(desired);
    return state;
  }

  /** Loads what is needed beside what runs, and plans. */
  #prepare(desired: DesiredState): { readonly actions: readonly Action[]; readonly context: ExecutionContext } {
    const object = endpointObject(desired.programs);
    const endpoints = this.#places.withPaths(desired.endpoints);
    const image = buildMapImage({ ...desired, endpoints }, sha256);
    this.#kernel.preparePins(this.#pins.base);
    this.#programs.ensure(object);
    const afterDnat = looksAfterDnat(desired) && this.#afterDnat.ensure(object.sha256);
    if (ensureProcessHooks(this.#kernel, this.#pins, this.#programs, object.sha256, this.#cgroups)) this.#processes.scan();
    const targets = this.#places.find(endpoints);
    this.#ensureHost(object, endpoints, targets);
    this.#gate?.prepare(desired);
    const target: DesiredBank = {
      contentDigest: desired.contentDigest,
      bundleGeneration: desired.generation,
      policyRevision: desired.resolved.policyRevision,
      identityRevision: desired.resolved.identityRevision,
      programDigest: object.sha256,
      image,
      targets,
    };
    const observed = this.#observed(object.sha256);
    const context: ExecutionContext = {
      kernel: this.#kernel,
      maps: this.#maps,
      pins: this.#pins,
      attachments: this.#attachments,
      desired: target,
      previousProgram: observed.current.programDigest,
      afterDnat,
      adoptionNs: observed.links.length === 0 ? BigInt(this.#adoptionMs) * 1_000_000n : 0n,
      failures: this.#places.failures,
    };
    return { actions: plan(observed, target), context };
  }

  async drain(limit: number): Promise<readonly KernelFlowEvent[]> {
    return eventsOf(await this.drainBatches(limit));
  }

  async drainBatches(limit: number): Promise<readonly KernelFlowBatch[]> {
    if (!this.#maps.exist()) return [];
    const batches = this.#drain.drain(limit, () => readProgramDigest(this.#kernel, this.#maps));
    const rest = limit - batches.reduce((sum, batch) => sum + batch.count, 0);
    const http = this.#http.drain(rest);
    http.push(...(this.#gate?.drain(rest - http.length) ?? []));
    const flows = this.#processes.nameAll(http.length === 0 ? batches : [...batches, new FlowEventList(http)]);
    // Read last, so that the question of every denial above is among them.
    const dns = this.#dns.drain(Math.max(1, rest - http.length));
    return dns.length === 0 ? flows : [new FlowEventList(dns, true), ...flows];
  }

  async losses(): Promise<KernelLossCounters> {
    return this.#maps.exist() ? this.#drain.losses() : { ringFull: 0n, evicted: 0n };
  }

  async counters(): Promise<DatapathCounters> {
    const empty = { forwardedPackets: 0n, droppedPackets: 0n, auditedPackets: 0n, perEndpoint: [], losses: { ringFull: 0n, evicted: 0n } };
    if (!this.#maps.exist()) return empty;
    const observed = this.#inNode(() => this.#observed());
    return {
      ...readCounters(this.#kernel, this.#maps, observed.rows),
      losses: this.#losses(),
      http: this.#http.counts(),
      unreadDns: this.#dns.unread,
    };
  }

  #losses(): KernelLossCounters {
    const losses = this.#drain.losses();
    return { ...losses, ringFull: losses.ringFull + this.#http.counts().lost + (this.#gate?.lost ?? 0n) };
  }

  watch(changed: () => void): () => void {
    return this.#places.watch(changed, (work) => this.#inNode(work));
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
    if (this.#maps.exist()) this.#inNode(() => this.#attachments.detachAll());
    for (const folder of [this.#pins.netfilter, this.#pins.processHooks]) detachPinned(this.#kernel, folder);
    this.#inNode(() => endSteering(this.#kernel));
    await this.close();
    this.#kernel.removePin(this.#pins.root);
  }

  async close(): Promise<void> {
    this.#drain.close();
    this.#http.close();
    this.#dns.close();
    this.#gate?.close();
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
