/**
 * What user space needs of the kernel. Calls are synchronous: each is one or a few system calls.
 * Descriptors are owned by the caller, who closes them; what is pinned outlives them.
 *
 * @throws DomainError `kernel.load-failed`, `kernel.attach-failed`, `kernel.map-full`, `kernel.unsupported`
 */

/** An open map, program or link. */
export type Descriptor = number & { readonly descriptor: unique symbol };
/** An open ring buffer. */
export interface Ring {
  /** Copies up to `into.length / recordSize` records; returns how many. */
  drain(into: Uint8Array, recordSize: number): number;
}

export type MapType = 'hash' | 'array' | 'percpu-array' | 'lru-hash' | 'lpm-trie' | 'array-of-maps' | 'ring-buffer' | 'other';

export interface MapSpecification {
  readonly name: string;
  readonly type: 'hash' | 'array' | 'lru-hash' | 'lpm-trie';
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** Hashes and tries that take memory as they grow. */
  readonly noPreallocation?: boolean;
}

export interface MapInfo {
  readonly id: number;
  readonly type: MapType;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

export interface MapContent {
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
}

export type CgroupKind = 'cgroup-connect4' | 'cgroup-connect6' | 'cgroup-sendmsg4' | 'cgroup-sendmsg6' | 'cgroup-ingress' | 'cgroup-egress';
export type ProgramKind = 'interface' | 'netfilter' | CgroupKind | 'tracepoint';

export interface LoadRequest {
  /** A compiled object, see bpf/Makefile. */
  readonly object: Uint8Array;
  /** Folder of pinned maps: those that exist there are used, the others are created and pinned there. */
  readonly mapPins?: string;
  readonly programs: readonly { readonly name: string; readonly kind: ProgramKind }[];
  /** Sizes of maps that differ from the object's. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** The only ABI (`PALISADE_ABI`) that is taken; without it any. Nothing is pinned where the object's differs. */
  readonly abi?: number;
}

export interface LoadedObject {
  readonly programs: Readonly<Record<string, Descriptor>>;
  readonly maps: Readonly<Record<string, Descriptor>>;
}

export interface ProgramInfo {
  readonly id: number;
  readonly name: string;
  readonly tag: string;
  /** What the verifier walked; the limit is a million. */
  readonly verifiedInstructions: number;
  /** Both zero unless kernel.bpf_stats_enabled is on. */
  readonly runTimeNs: number;
  readonly runCount: number;
}

export interface LinkInfo {
  readonly id: number;
  readonly programId: number;
  /** Interface links: 0 once the interface is gone. */
  readonly ifindex: number;
  /** Cgroup links: 0 once the cgroup is gone. */
  readonly cgroupId: bigint;
}

export type NetfilterHook = 'local-in' | 'forward';

export interface TestRun {
  /** The program's return value. */
  readonly result: number;
  readonly packet: Uint8Array;
  /** Average of one run, nanoseconds, harness included. */
  readonly durationNs: number;
}

export interface NetworkInterface {
  readonly index: number;
  readonly name: string;
  /** `veth`, `macvlan`, …; empty for devices. */
  readonly kind: string;
  /** Index of the other end, in the network namespace of that number (-1: this one); 0: there is none. */
  readonly peer: number;
  readonly peerNamespace: number;
}

export interface KernelPort {
  release(): string;
  /** Feature → usable here. */
  features(): Readonly<Record<string, boolean>>;
  /** Possible processors: values of per-CPU maps hold one (8-byte aligned) value for each. */
  processors(): number;
  /** Returns when every program run that was under way when it was called has ended. */
  waitForPrograms(): void;
  /** The clock of every time in kernel records. */
  monotonicNs(): bigint;
  /** Runs `work`, which must not await, in the network namespace at `path`. */
  inNetworkNamespace<T>(path: string, work: () => T): T;
  /** 0: there is no such interface in this network namespace. */
  interfaceIndex(name: string): number;
  /** Of this network namespace. */
  interfaces(): readonly NetworkInterface[];
  /** Number of a process's network namespace as this one sees it; -1: it sees none. */
  namespaceOf(pid: number): number;
  /** Calls back whenever interfaces of this network namespace come, go or change. @returns what ends it */
  watchInterfaces(changed: () => void): () => void;

  /** Number of the cgroup v2 folder at `path`; 0: there is none. */
  cgroupId(path: string): bigint;
  /**
   * Delivers packets whose mark is `mark` under `mask` on this machine, whatever their destination: a routing rule of both
   * families and a table of its own. Packets are then no longer given to local sockets before they are routed. Asking again changes nothing.
   */
  routeMarkedHere(mark: number, mask: number): void;
  /**
   * Keeps connection tracking off packets that arrive with `mark` under `mask`: an nftables table of this name. Asking again changes nothing.
   * @returns 0, or the error number of a kernel that cannot: one without nftables
   */
  leaveUntracked(table: string, mark: number, mask: number): number;
  /** Undo both; where there is nothing to undo they change nothing. Early demultiplexing is turned on again, as kernels have it. */
  routeMarkedAsOthers(mark: number, mask: number): void;
  trackAgain(table: string): void;

  /** Makes sure that `path` lies on a BPF file system, mounting one at its mount point where none is. */
  preparePins(path: string): void;
  pin(descriptor: Descriptor, path: string): void;
  openPin(path: string): Descriptor | undefined;
  /** Names in a pin folder; empty where there is none. */
  listPins(folder: string): readonly string[];
  /** Removes a pin or a folder of pins; missing ones are fine. */
  removePin(path: string): void;
  close(descriptor: Descriptor): void;

  createMap(specification: MapSpecification): Descriptor;
  mapInfo(map: Descriptor): MapInfo;
  lookup(map: Descriptor, key: Uint8Array): Uint8Array | undefined;
  update(map: Descriptor, key: Uint8Array, value: Uint8Array): void;
  /** False: the key was not there. */
  delete(map: Descriptor, key: Uint8Array): boolean;
  /** `keys` and `values` hold `count` elements each. Values of map-in-map maps are descriptors (u32). */
  updateBatch(map: Descriptor, keys: Uint8Array, values: Uint8Array, count: number): void;
  deleteBatch(map: Descriptor, keys: Uint8Array, count: number): number;
  readAll(map: Descriptor): MapContent;
  openRing(map: Descriptor): Ring;

  load(request: LoadRequest): LoadedObject;
  programInfo(program: Descriptor): ProgramInfo;
  /** Runs a program on a packet (Ethernet frame; netfilter programs as well). */
  testRun(program: Descriptor, packet: Uint8Array, options?: { readonly repeat?: number; readonly context?: Uint8Array }): TestRun;

  /** `ingress` and `egress` of the host-side interface; at the head of its chain. */
  attachInterface(program: Descriptor, ifindex: number, side: 'ingress' | 'egress'): Descriptor;
  /**
   * The same without TCX: a direct-action filter at the head of the clsact qdisc, which is made where it is missing.
   * Replaces an earlier program of ours atomically. There is no link: it stays until it is detached or the interface goes.
   */
  attachClsact(program: Descriptor, ifindex: number, side: 'ingress' | 'egress'): void;
  /** Id of our program there; 0: none. */
  clsactProgram(ifindex: number, side: 'ingress' | 'egress'): number;
  detachClsact(ifindex: number, side: 'ingress' | 'egress'): void;
  attachNetfilter(program: Descriptor, family: 4 | 6, hook: NetfilterHook, priority: number): Descriptor;
  /** A tracepoint by BTF, for the whole machine. */
  attachTracepoint(program: Descriptor): Descriptor;
  attachCgroup(program: Descriptor, cgroup: string, kind: CgroupKind): Descriptor;
  /** Replaces the program of a link atomically. Netfilter links cannot. */
  updateLink(link: Descriptor, program: Descriptor): void;
  linkInfo(link: Descriptor): LinkInfo;
  detach(link: Descriptor): void;
}
