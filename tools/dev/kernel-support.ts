import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

/** Whether eBPF programs can be loaded and network namespaces be made here; if not, why not. */
export type KernelSupport = { readonly usable: true } | { readonly usable: false; readonly reason: string };

// Bit numbers of include/uapi/linux/capability.h.
const NEEDED = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21, CAP_BPF: 39 } as const;

/** Looks at this process's rights and at the kernel. Changes nothing. */
export function kernelSupport(): KernelSupport {
  if (process.platform !== 'linux') return { usable: false, reason: 'this is not Linux' };
  if (process.getuid?.() !== 0) return { usable: false, reason: 'this needs root' };
  const effective = BigInt(`0x${/CapEff:\s*([0-9a-f]+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
  const missing = Object.entries(NEEDED).filter(([, bit]) => ((effective >> BigInt(bit)) & 1n) === 0n);
  if (missing.length > 0) return { usable: false, reason: `root lacks ${missing.map(([name]) => name).join(', ')} here` };
  if (!existsSync('/sys/kernel/btf/vmlinux')) return { usable: false, reason: 'the kernel has no BTF (/sys/kernel/btf/vmlinux)' };
  if (spawnSync('unshare', ['--net', 'true'], { stdio: 'ignore' }).status !== 0) {
    return { usable: false, reason: 'network namespaces cannot be made here' };
  }
  return { usable: true };
}

/** The sentence that is printed where the kernel part is left out. */
export function skippedKernelSentence(reason: string): string {
  return `The kernel part is skipped: ${reason}. Everything else runs.`;
}
