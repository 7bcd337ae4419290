import { readFileSync, readdirSync } from 'node:fs';
import type { NetworkInterface } from '@palisade/dataplane';

/** What finding a pod's interface needs of the node. */
export interface NodeView {
  /** Of the node's network namespace. */
  interfaces(): readonly NetworkInterface[];
  /** Number of a process's network namespace as the node's sees it; -1: none. */
  namespaceOf(pid: number): number;
  /** Mount point of /proc with the node's processes. */
  readonly proc?: string;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** A process of the pod: kubelet puts the uid into the cgroup's path, with dashes or (systemd driver) with underscores. */
export function processOfPod(uid: string, proc = '/proc'): number | undefined {
  const names = [`pod${uid}`, `pod${uid.replaceAll('-', '_')}`];
  return readdirSync(proc)
    .filter((name) => /^[1-9][0-9]*$/.test(name))
    .map(Number)
    .find((pid) => {
      const text = read(`${proc}/${pid}/cgroup`);
      return names.some((name) => text.includes(name));
    });
}

/** Index of `eth0` in the network namespace of a process; the multicast groups of /proc/net name it without any privilege. */
function indexOfEth0(pid: number, proc: string): number {
  const v4 = /^(\d+)\s+eth0\s/m.exec(read(`${proc}/${pid}/net/igmp`))?.[1];
  const v6 = /^(\d+)\s+eth0\s/m.exec(read(`${proc}/${pid}/net/igmp6`))?.[1];
  return Number(v4 ?? v6 ?? 0);
}

/**
 * Host side of a pod's veth: the interface whose peer is the pod's eth0, in the pod's network namespace. Needs to see the
 * node's processes (hostPID) and no privilege.
 * @returns empty while there is none
 */
export function podInterface(uid: string, node: NodeView): string {
  const proc = node.proc ?? '/proc';
  const pid = uid === '' ? undefined : processOfPod(uid, proc);
  if (pid === undefined) return '';
  const namespace = node.namespaceOf(pid);
  const index = indexOfEth0(pid, proc);
  if (namespace < 0 || index === 0) return '';
  return node.interfaces().find(({ peer, peerNamespace }) => peer === index && peerNamespace === namespace)?.name ?? '';
}
