import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { hasNativeAddon } from '@palisade/kernel';

/** The compiled endpoint object, bpf/build/endpoint.o. */
export const OBJECT_PATH = fileURLToPath(new URL('../../../../../bpf/build/endpoint.o', import.meta.url));

/** Why kernel tests cannot run here, or nothing. */
export function kernelUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return 'Kernel tests are skipped: they need root.';
  if (!hasNativeAddon()) return 'Kernel tests are skipped: the kernel addon is not compiled (libs/kernel/native/build.sh).';
  if (!existsSync(OBJECT_PATH)) return 'Kernel tests are skipped: the programs are not compiled (make -C bpf).';
  if (!existsSync('/sys/kernel/btf/vmlinux')) return 'Kernel tests are skipped: this kernel has no BTF.';
  return undefined;
}
