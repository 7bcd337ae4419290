/** The native addon's own interface (libs/kernel/native); only `native-kernel.ts` speaks it. */

import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DomainError } from '@palisade/errors';

export interface NativeFailure extends Error {
  readonly code?: string;
  readonly errno?: number;
  readonly syscall?: string;
  readonly log?: string;
  readonly verifierLog?: string;
}

export interface NativeAddon {
  mapCreate(type: number, name: string, keySize: number, valueSize: number, maxEntries: number, flags: number, innerFd: number): number;
  mapInfo(fd: number): { id: number; type: number; keySize: number; valueSize: number; maxEntries: number; flags: number };
  mapLookup(fd: number, key: Uint8Array, valueSize: number): Uint8Array | undefined;
  mapUpdate(fd: number, key: Uint8Array, value: Uint8Array, flags: number): void;
  mapDelete(fd: number, key: Uint8Array): boolean;
  mapUpdateBatch(fd: number, keys: Uint8Array, values: Uint8Array, count: number): number;
  mapDeleteBatch(fd: number, keys: Uint8Array, count: number): number;
  mapReadAll(fd: number, keySize: number, valueSize: number, capacity: number): { keys: Uint8Array; values: Uint8Array; count: number };
  mapNextKey(fd: number, key: Uint8Array | undefined, keySize: number): Uint8Array | undefined;
  loadObject(
    object: Uint8Array,
    pins: string,
    programs: readonly { name: string; type: number; attachType: number }[],
    maxEntries: Readonly<Record<string, number>>,
    abi: number,
  ): { programs: Record<string, number>; maps: Record<string, number> };
  testRun(fd: number, packet: Uint8Array, context: Uint8Array, repeat: number): { result: number; durationNs: number; size: number; packet: Uint8Array };
  programInfo(fd: number): { id: number; type: number; name: string; tag: string; verifiedInstructions: number; runTimeNs: number; runCount: number };
  objectPin(fd: number, path: string): void;
  objectOpen(path: string): number | undefined;
  close(fd: number): void;
  linkTcx(program: number, ifindex: number, attachType: number): number;
  linkNetfilter(program: number, attachType: number, family: number, hook: number, priority: number): number;
  linkTarget(program: number, target: number, attachType: number): number;
  clsactAttach(program: number, ifindex: number, side: number): void;
  clsactProgram(ifindex: number, side: number): number;
  clsactDetach(ifindex: number, side: number): void;
  linkUpdate(link: number, program: number): void;
  linkInfo(link: number): { id: number; type: number; programId: number; ifindex: number; cgroupId: bigint; attachType: number };
  linkDetach(link: number): void;
  ringOpen(map: number, size: number): object;
  ringDrain(ring: object, into: Uint8Array, recordSize: number): number;
  interfaceIndex(name: string): number;
  interfaces(): { index: number; name: string; kind: string; peer: number; peerNamespace: number }[];
  namespaceOf(pid: number): number;
  watchInterfaces(changed: () => void): object;
  unwatchInterfaces(watch: object): void;
  enterNamespace(path: string): number;
  leaveNamespace(descriptor: number): void;
  mountBpf(path: string): void;
  netlinkRequest(protocol: number, message: Uint8Array): number;
  waitForPrograms(): void;
  processors(): number;
  monotonicCoarseNs(): bigint;
  probeProgram(type: number, attachType: number, target: string): boolean;
  probe(kind: number, number: number, program: number): boolean;
}

/** Where `native/build.sh` puts the addon; the same from sources and from the compiled package. */
export const ADDON_PATH = fileURLToPath(new URL('../../build/palisade_kernel.node', import.meta.url));

/** True: the addon has been compiled. */
export function hasNativeAddon(path: string = ADDON_PATH): boolean {
  return existsSync(path);
}

/** @throws DomainError `kernel.unsupported` when the addon was not compiled or does not load */
export function loadNativeAddon(path: string = ADDON_PATH): NativeAddon {
  if (!existsSync(path)) {
    throw new DomainError('kernel.unsupported', 'The kernel addon is not compiled. Run libs/kernel/native/build.sh (needs gcc, libc6-dev and libbpf-dev).');
  }
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (cause) {
    throw new DomainError('kernel.unsupported', 'The kernel addon does not load; is libbpf installed (package libbpf1)?', { cause });
  }
}
