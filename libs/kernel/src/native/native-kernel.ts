import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { dirname } from 'node:path';
import type {
  CgroupKind,
  Descriptor,
  KernelPort,
  LinkInfo,
  LoadedObject,
  LoadRequest,
  MapContent,
  MapInfo,
  MapSpecification,
  NetfilterHook,
  NetworkInterface,
  ProgramInfo,
  Ring,
  TestRun,
} from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import { loadNativeAddon, type NativeAddon } from './addon.ts';
import { kernelCall } from './kernel-failure.ts';
import { CLSACT_SIDE, MAP_TYPE_NAME, MAP_TYPE_NUMBER, NETFILTER_FAMILY, NETFILTER_HOOK, NO_PREALLOCATION, PROGRAM_NUMBERS, TCX_ATTACH, TRACE_RAW_TRACEPOINT } from './kernel-numbers.ts';
import { probeFeatures } from './probe-features.ts';
import { localRoute, markRule, type RouteChange } from './route-messages.ts';
import { dropTable, untrackRule } from './untrack-messages.ts';

const TCP_EARLY_DEMUX = '/proc/sys/net/ipv4/tcp_early_demux';
const NETLINK_ROUTE = 0;
const NETLINK_NETFILTER = 12;
const ENOENT = 2;
const ESRCH = 3;
const EEXIST = 17;
const EAFNOSUPPORT = 97;
const BPF_FILE_SYSTEM = '/sys/fs/bpf';

/** The kernel this process runs on, through the native addon. */
export class NativeKernel implements KernelPort {
  readonly #addon: NativeAddon;
  readonly #info = new Map<number, MapInfo>();
  #features: Readonly<Record<string, boolean>> | undefined;

  readonly #without: readonly string[];

  /** @param without features to do without although this kernel has them: how older kernels are tested on newer ones */
  constructor(addon: NativeAddon = loadNativeAddon(), without: readonly string[] = []) {
    this.#addon = addon;
    this.#without = without;
  }

  release(): string {
    return release();
  }

  features(): Readonly<Record<string, boolean>> {
    this.#features ??= { ...probeFeatures(this.#addon), ...Object.fromEntries(this.#without.map((feature) => [feature, false])) };
    return this.#features;
  }

  processors(): number {
    return this.#addon.processors();
  }

  waitForPrograms(): void {
    kernelCall('kernel.unsupported', 'Waiting for running programs', () => this.#addon.waitForPrograms());
  }

  routeMarkedHere(mark: number, mask: number): void {
    // Early demultiplexing would give packets on their way to an endpoint to a local socket of the same tuple; forwarding then drops them.
    kernelCall('kernel.attach-failed', 'Turning off early demultiplexing', () => writeFileSync(TCP_EARLY_DEMUX, '0'));
    this.#changeRoutes('add', mark, mask, EEXIST);
  }

  routeMarkedAsOthers(mark: number, mask: number): void {
    if (this.#changeRoutes('remove', mark, mask, ENOENT)) kernelCall('kernel.attach-failed', 'Turning on early demultiplexing', () => writeFileSync(TCP_EARLY_DEMUX, '1'));
  }

  /** @returns whether something changed */
  #changeRoutes(change: RouteChange, mark: number, mask: number, asBefore: number): boolean {
    const loopback = this.interfaceIndex('lo');
    let changed = false;
    for (const family of Object.values(NETFILTER_FAMILY)) {
      for (const request of [markRule(change, family, mark, mask), localRoute(change, family, loopback)]) {
        const failed = kernelCall('kernel.attach-failed', 'Routing marked packets', () => this.#addon.netlinkRequest(NETLINK_ROUTE, request));
        changed ||= failed === 0;
        if (failed === 0 || failed === asBefore || (change === 'remove' && failed === ESRCH) || (family === NETFILTER_FAMILY[6] && failed === EAFNOSUPPORT)) continue;
        throw new DomainError('kernel.attach-failed', `Routing marked packets: the kernel answers with error ${failed}.`);
      }
    }
    return changed;
  }

  leaveUntracked(table: string, mark: number, mask: number): number {
    const failed = this.#changeTracking(untrackRule(table, mark, mask));
    return failed === EEXIST ? 0 : failed;
  }

  trackAgain(table: string): void {
    this.#changeTracking(dropTable(table));
  }

  /** @returns error number of the kernel's answer */
  #changeTracking(batch: Uint8Array): number {
    return kernelCall('kernel.attach-failed', 'Changing which packets are tracked', () => this.#addon.netlinkRequest(NETLINK_NETFILTER, batch));
  }

  monotonicNs(): bigint {
    return this.#addon.monotonicCoarseNs();
  }

  inNetworkNamespace<T>(path: string, work: () => T): T {
    const before = kernelCall('kernel.unsupported', `Entering the network namespace ${path}`, () => this.#addon.enterNamespace(path));
    try {
      return work();
    } finally {
      this.#addon.leaveNamespace(before);
    }
  }

  interfaceIndex(name: string): number {
    return this.#addon.interfaceIndex(name);
  }

  interfaces(): readonly NetworkInterface[] {
    return kernelCall('kernel.unsupported', 'Listing interfaces', () => this.#addon.interfaces());
  }

  namespaceOf(pid: number): number {
    return this.#addon.namespaceOf(pid);
  }

  watchInterfaces(changed: () => void): () => void {
    const watch = kernelCall('kernel.unsupported', 'Watching interfaces', () => this.#addon.watchInterfaces(changed));
    return () => this.#addon.unwatchInterfaces(watch);
  }

  cgroupId(path: string): bigint {
    return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? 0n;
  }

  preparePins(path: string): void {
    kernelCall('kernel.unsupported', 'Mounting the BPF file system', () => {
      if (path.startsWith(`${BPF_FILE_SYSTEM}/`)) this.#addon.mountBpf(BPF_FILE_SYSTEM);
      mkdirSync(path, { recursive: true, mode: 0o700 });
    });
  }

  pin(descriptor: Descriptor, path: string): void {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    kernelCall('kernel.attach-failed', `Pinning ${path}`, () => this.#addon.objectPin(descriptor, path));
  }

  openPin(path: string): Descriptor | undefined {
    return kernelCall('kernel.attach-failed', `Opening the pin ${path}`, () => this.#addon.objectOpen(path)) as Descriptor | undefined;
  }

  listPins(folder: string): readonly string[] {
    try {
      return readdirSync(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  removePin(path: string): void {
    rmSync(path, { recursive: true, force: true });
  }

  close(descriptor: Descriptor): void {
    this.#info.delete(descriptor);
    this.#addon.close(descriptor);
  }

  createMap(specification: MapSpecification): Descriptor {
    const { name, type, keySize, valueSize, maxEntries, noPreallocation } = specification;
    return kernelCall('kernel.map-full', `Creating the map ${name}`, () =>
      this.#addon.mapCreate(MAP_TYPE_NUMBER[type], name, keySize, valueSize, maxEntries, noPreallocation ? NO_PREALLOCATION : 0, -1),
    ) as Descriptor;
  }

  mapInfo(map: Descriptor): MapInfo {
    const known = this.#info.get(map);
    if (known) return known;
    const { id, type, keySize, valueSize, maxEntries } = this.#addon.mapInfo(map);
    const info = { id, type: MAP_TYPE_NAME.get(type) ?? 'other', keySize, valueSize, maxEntries } as const;
    this.#info.set(map, info);
    return info;
  }

  #valueStride(info: MapInfo): number {
    return info.type === 'percpu-array' ? Math.ceil(info.valueSize / 8) * 8 * this.processors() : info.valueSize;
  }

  lookup(map: Descriptor, key: Uint8Array): Uint8Array | undefined {
    return kernelCall('internal.unexpected', 'Reading a map', () => this.#addon.mapLookup(map, key, this.#valueStride(this.mapInfo(map))));
  }

  update(map: Descriptor, key: Uint8Array, value: Uint8Array): void {
    kernelCall('kernel.map-full', 'Writing a map', () => this.#addon.mapUpdate(map, key, value, 0));
  }

  delete(map: Descriptor, key: Uint8Array): boolean {
    return kernelCall('internal.unexpected', 'Deleting from a map', () => this.#addon.mapDelete(map, key));
  }

  updateBatch(map: Descriptor, keys: Uint8Array, values: Uint8Array, count: number): void {
    if (count === 0) return;
    kernelCall('kernel.map-full', 'Writing a map', () => this.#addon.mapUpdateBatch(map, keys, values, count));
  }

  deleteBatch(map: Descriptor, keys: Uint8Array, count: number): number {
    return count === 0 ? 0 : kernelCall('internal.unexpected', 'Deleting from a map', () => this.#addon.mapDeleteBatch(map, keys, count));
  }

  readAll(map: Descriptor): MapContent {
    const info = this.mapInfo(map);
    const stride = this.#valueStride(info);
    // A concurrently growing table may return a few entries twice: room for a quarter more than there can be.
    const capacity = info.type === 'lru-hash' ? Math.ceil(info.maxEntries * 1.25) : info.maxEntries;
    return kernelCall('internal.unexpected', 'Reading a map', () =>
      info.type === 'lpm-trie' ? this.#readByKey(map, info) : this.#addon.mapReadAll(map, info.keySize, stride, capacity),
    );
  }

  /** Tries have no batch reads on every kernel. */
  #readByKey(map: Descriptor, info: MapInfo): MapContent {
    const keys: Uint8Array[] = [];
    const values: Uint8Array[] = [];
    let key = this.#addon.mapNextKey(map, undefined, info.keySize);
    while (key !== undefined && keys.length < info.maxEntries) {
      const value = this.#addon.mapLookup(map, key, info.valueSize);
      if (value) {
        keys.push(key);
        values.push(value);
      }
      key = this.#addon.mapNextKey(map, key, info.keySize);
    }
    return { keys: Buffer.concat(keys), values: Buffer.concat(values), count: keys.length };
  }

  openRing(map: Descriptor): Ring {
    const ring = kernelCall('kernel.unsupported', 'Opening the ring buffer', () => this.#addon.ringOpen(map, this.mapInfo(map).maxEntries));
    return { drain: (into, recordSize) => this.#addon.ringDrain(ring, into, recordSize) };
  }

  load(request: LoadRequest): LoadedObject {
    if (request.mapPins !== undefined) this.preparePins(request.mapPins);
    return kernelCall('kernel.load-failed', 'The kernel refused the program object', () =>
      this.#addon.loadObject(
        request.object,
        request.mapPins ?? '',
        request.programs.map(({ name, kind }) => ({ name, ...PROGRAM_NUMBERS[kind] })),
        request.maxEntries ?? {},
        request.abi ?? 0,
      ),
    ) as unknown as LoadedObject;
  }

  programInfo(program: Descriptor): ProgramInfo {
    return this.#addon.programInfo(program);
  }

  testRun(program: Descriptor, packet: Uint8Array, options: { readonly repeat?: number; readonly context?: Uint8Array } = {}): TestRun {
    const run = kernelCall('kernel.unsupported', 'Running a program on a packet', () =>
      this.#addon.testRun(program, packet, options.context ?? new Uint8Array(), options.repeat ?? 1),
    );
    return { result: run.result, packet: run.packet.subarray(0, run.size), durationNs: run.durationNs };
  }

  attachInterface(program: Descriptor, ifindex: number, side: 'ingress' | 'egress'): Descriptor {
    return kernelCall('kernel.attach-failed', `Attaching to interface ${ifindex}`, () => this.#addon.linkTcx(program, ifindex, TCX_ATTACH[side])) as Descriptor;
  }

  attachClsact(program: Descriptor, ifindex: number, side: 'ingress' | 'egress'): void {
    kernelCall('kernel.attach-failed', `Attaching to clsact of interface ${ifindex}`, () => this.#addon.clsactAttach(program, ifindex, CLSACT_SIDE[side]));
  }

  clsactProgram(ifindex: number, side: 'ingress' | 'egress'): number {
    return kernelCall('kernel.attach-failed', `Reading clsact of interface ${ifindex}`, () => this.#addon.clsactProgram(ifindex, CLSACT_SIDE[side]));
  }

  detachClsact(ifindex: number, side: 'ingress' | 'egress'): void {
    kernelCall('kernel.attach-failed', `Detaching from clsact of interface ${ifindex}`, () => this.#addon.clsactDetach(ifindex, CLSACT_SIDE[side]));
  }

  attachNetfilter(program: Descriptor, family: 4 | 6, hook: NetfilterHook, priority: number): Descriptor {
    return kernelCall('kernel.attach-failed', `Attaching to netfilter ${hook}`, () =>
      this.#addon.linkNetfilter(program, PROGRAM_NUMBERS.netfilter.attachType, NETFILTER_FAMILY[family], NETFILTER_HOOK[hook], priority),
    ) as Descriptor;
  }

  attachTracepoint(program: Descriptor): Descriptor {
    return kernelCall('kernel.attach-failed', 'Attaching to a tracepoint', () => this.#addon.linkTarget(program, 0, TRACE_RAW_TRACEPOINT)) as Descriptor;
  }

  attachCgroup(program: Descriptor, cgroup: string, kind: CgroupKind): Descriptor {
    return kernelCall('kernel.attach-failed', `Attaching to the cgroup ${cgroup}`, () => {
      const folder = openSync(cgroup, 'r');
      try {
        return this.#addon.linkTarget(program, folder, PROGRAM_NUMBERS[kind].attachType);
      } finally {
        closeSync(folder);
      }
    }) as Descriptor;
  }

  updateLink(link: Descriptor, program: Descriptor): void {
    kernelCall('kernel.attach-failed', 'Replacing an attached program', () => this.#addon.linkUpdate(link, program));
  }

  linkInfo(link: Descriptor): LinkInfo {
    return this.#addon.linkInfo(link);
  }

  detach(link: Descriptor): void {
    try {
      this.#addon.linkDetach(link);
    } catch (error) {
      // ENOLINK: its interface or cgroup is gone already. EOPNOTSUPP: tracepoints end with their last pin and descriptor.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOLINK' && code !== 'EOPNOTSUPP') throw error;
    }
  }
}
