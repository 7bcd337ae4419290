import { readFileSync } from 'node:fs';
import { arch, hostname, networkInterfaces, release } from 'node:os';
import type { Arch } from '@palisade/bundle';
import type { NodeFeatures } from '../enrollment/enroll.ts';
import type { KernelFeatures } from '../enforcer/enforcer.ts';

/** `amd64` or `arm64`. @throws Error on anything else: there are no program objects for it */
export function nodeArch(): Arch {
  const name = arch();
  if (name === 'x64') return 'amd64';
  if (name === 'arm64') return 'arm64';
  throw new Error(`There are no Palisade programs for the architecture ${name}.`);
}

/** What this node tells of itself. Features are those that are usable, by name. */
export function describeNode(kernel: KernelFeatures, nodeName: string | undefined): NodeFeatures {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []).filter((address) => !address.internal).map((address) => address.address);
  return {
    hostname: nodeName ?? hostname(),
    agentVersion: agentVersion(),
    arch: nodeArch(),
    kernel: { release: kernel.kernelRelease, features: Object.entries(kernel.features).filter(([, usable]) => usable).map(([name]) => name).sort() },
    addresses: [...new Set(addresses)].sort(),
  };
}

/** What is said of the kernel where no enforcer can work on it. */
export function featurelessKernel(): KernelFeatures {
  return { kernelRelease: release(), features: {} };
}

let version: string | undefined;

/** Version of this agent, `major.minor.patch`. */
export function agentVersion(): string {
  version ??= (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
  return version;
}
