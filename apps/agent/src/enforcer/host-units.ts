import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where host units may be attached, and where never. */
export interface CgroupPlace {
  /** Mount point of cgroup v2; undefined: there is none. */
  readonly mount: string | undefined;
  /** The agent's own cgroup below the mount; its sockets are never hooked. */
  readonly own: string | undefined;
}

/** The cgroup v2 of this process, `/system.slice/palisade-agent.service`; undefined where there is no such hierarchy. */
export function ownCgroup(text: string = readFileSync('/proc/self/cgroup', 'utf8')): string | undefined {
  return text.split('\n').find((line) => line.startsWith('0::'))?.slice(3);
}

/**
 * Absolute path of a unit's cgroup, or why it is not attached. Never the root, never a cgroup that holds the agent itself:
 * hooks there would reach the agent's control channel (docs/operations.md).
 * @param path absolute below the mount point, or relative to it
 */
export function unitCgroup(path: string, place: CgroupPlace): { readonly path: string } | { readonly reason: string } {
  const { mount, own } = place;
  if (mount === undefined) return { reason: 'cgroup v2 is not mounted on this node; mount it (mount -t cgroup2 none /sys/fs/cgroup/unified) or boot with the unified hierarchy' };
  const absolute = path === mount || path.startsWith(`${mount}/`) ? resolve(path) : resolve(join(mount, path));
  if (absolute === mount) return { reason: 'the root cgroup is never attached: it holds the whole node; name the sub-cgroup of the unit' };
  if (!absolute.startsWith(`${mount}/`)) return { reason: `${path} does not lie in cgroup v2 (${mount})` };
  const agent = own === undefined ? undefined : resolve(join(mount, own));
  if (agent !== undefined && (agent === absolute || agent.startsWith(`${absolute}/`))) {
    return { reason: `${path} holds the agent itself, which must keep its connection to the control plane; run the agent in a unit of its own` };
  }
  return { path: absolute };
}
