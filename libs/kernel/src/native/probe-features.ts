import { existsSync, readFileSync } from 'node:fs';
import type { NativeAddon } from './addon.ts';
import { MAP_TYPE_NUMBER, PROGRAM_NUMBERS, TRACE_RAW_TRACEPOINT } from './kernel-numbers.ts';

const MAP = 0;
const PROGRAM = 1;
const HELPER = 2;
const SCHED_CLS = 3;
const TRACING = 26;
const NETFILTER = 32;
const TRACE_FENTRY = 24;
const KTIME_GET_COARSE_NS = 160;
const SK_ASSIGN = 124;
const TIMER_INIT = 169;
const GET_CURRENT_PID_TGID = 14;
const KPROBE = 2;
const CGROUP_SKB = 8;
const CGROUP_SOCK_ADDR = 18;
const CGROUP_STORAGE = 19;

/** Mount point of the cgroup v2 hierarchy; on hybrid systems it lies below /sys/fs/cgroup. */
export function cgroup2Mount(mounts: string = readFileSync('/proc/self/mountinfo', 'utf8')): string | undefined {
  const line = mounts.split('\n').find((entry) => / - cgroup2 /.test(entry));
  return line?.split(' ')[4];
}

/** A two-element hash is created, filled and read in one call each. */
function hasBatchCalls(addon: NativeAddon): boolean {
  const map = addon.mapCreate(MAP_TYPE_NUMBER.hash, 'probe', 4, 4, 2, 0, -1);
  try {
    addon.mapUpdateBatch(map, new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0]), new Uint8Array(8), 2);
    return addon.mapReadAll(map, 4, 4, 2).count === 2;
  } catch {
    return false;
  } finally {
    addon.close(map);
  }
}

function kernelAtLeast(release: string, major: number, minor: number): boolean {
  const [, a = '0', b = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(a) > major || (Number(a) === major && Number(b) >= minor);
}

/** What this kernel offers, found by trying. Without privileges everything is false. */
export function probeFeatures(addon: NativeAddon): Readonly<Record<string, boolean>> {
  const attempt = (check: () => boolean): boolean => {
    try {
      return check();
    } catch {
      return false;
    }
  };
  const release = attempt(() => true) ? readFileSync('/proc/sys/kernel/osrelease', 'utf8') : '';
  return {
    btf: existsSync('/sys/kernel/btf/vmlinux'),
    ringbuf: attempt(() => addon.probe(MAP, MAP_TYPE_NUMBER['ring-buffer'], 0)),
    batch: attempt(() => hasBatchCalls(addon)),
    'coarse-clock': attempt(() => addon.probe(HELPER, KTIME_GET_COARSE_NS, SCHED_CLS)),
    // TCX came with Linux 6.6; libbpf cannot probe for attach points.
    tcx: attempt(() => addon.probe(PROGRAM, SCHED_CLS, 0)) && kernelAtLeast(release, 6, 6),
    'netfilter-link': addon.probeProgram(NETFILTER, PROGRAM_NUMBERS.netfilter.attachType, ''),
    tracepoint: addon.probeProgram(TRACING, TRACE_RAW_TRACEPOINT, 'inet_sock_set_state'),
    'execution-tracepoint': addon.probeProgram(TRACING, TRACE_RAW_TRACEPOINT, 'sched_process_exec'),
    fentry: addon.probeProgram(TRACING, TRACE_FENTRY, 'tcp_v4_connect'),
    lsm: attempt(() => readFileSync('/sys/kernel/security/lsm', 'utf8').split(',').includes('bpf')),
    kprobe: attempt(() => addon.probe(PROGRAM, KPROBE, 0)) && existsSync('/sys/bus/event_source/devices/kprobe'),
    'cgroup-skb': addon.probeProgram(CGROUP_SKB, PROGRAM_NUMBERS['cgroup-egress'].attachType, ''),
    'cgroup-connect': addon.probeProgram(CGROUP_SOCK_ADDR, PROGRAM_NUMBERS['cgroup-connect4'].attachType, ''),
    // Linux 6.1 lets these programs ask which process runs.
    'datagram-process': attempt(() => addon.probe(HELPER, GET_CURRENT_PID_TGID, CGROUP_SOCK_ADDR)),
    'cgroup-storage': attempt(() => addon.probe(MAP, CGROUP_STORAGE, 0)),
    'sk-assign': attempt(() => addon.probe(HELPER, SK_ASSIGN, SCHED_CLS)),
    timer: attempt(() => addon.probe(HELPER, TIMER_INIT, SCHED_CLS)),
    cgroup2: attempt(() => cgroup2Mount() !== undefined),
  };
}
