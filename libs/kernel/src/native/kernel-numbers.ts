/** Numbers of <linux/bpf.h> (Linux 6.6); older headers lack some of them. */

import type { MapType, NetfilterHook, ProgramKind } from '@palisade/dataplane';

export const MAP_TYPE_NUMBER = {
  hash: 1,
  array: 2,
  'percpu-array': 6,
  'lru-hash': 9,
  'lpm-trie': 11,
  'array-of-maps': 12,
  'ring-buffer': 27,
} as const satisfies Partial<Record<MapType, number>>;

export const MAP_TYPE_NAME: ReadonlyMap<number, MapType> = new Map(
  Object.entries(MAP_TYPE_NUMBER).map(([name, number]) => [number, name as MapType]),
);

export const NO_PREALLOCATION = 1;

/** -1: the section name of the program says it. */
export const PROGRAM_NUMBERS: Readonly<Record<ProgramKind, { readonly type: number; readonly attachType: number }>> = {
  interface: { type: 3, attachType: -1 },
  netfilter: { type: 32, attachType: 45 },
  'cgroup-connect4': { type: -1, attachType: 10 },
  'cgroup-connect6': { type: -1, attachType: 11 },
  'cgroup-sendmsg4': { type: -1, attachType: 14 },
  'cgroup-sendmsg6': { type: -1, attachType: 15 },
  'cgroup-ingress': { type: -1, attachType: 0 },
  'cgroup-egress': { type: -1, attachType: 1 },
  tracepoint: { type: -1, attachType: -1 },
};

export const TRACE_RAW_TRACEPOINT = 23;
export const TCX_ATTACH = { ingress: 46, egress: 47 } as const;
/** BPF_TC_INGRESS and BPF_TC_EGRESS of libbpf. */
export const CLSACT_SIDE = { ingress: 1, egress: 2 } as const;
export const NETFILTER_FAMILY = { 4: 2, 6: 10 } as const;
/** enum nf_inet_hooks */
export const NETFILTER_HOOK: Readonly<Record<NetfilterHook, number>> = { 'local-in': 1, forward: 2 };
