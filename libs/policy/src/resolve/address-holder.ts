/** Who holds an address: workloads before nodes before reserved ends, as the evaluator has it. */

import { formatAddress, parseAddress, type IpAddress } from '../ip-address.ts';
import type { PeerBase } from './peer-base.ts';
import type { PeerEnd } from './peer-world.ts';
import type { PortName } from './port-names.ts';

export interface Claim {
  readonly base: PeerBase;
  readonly names: readonly PortName[];
}

/** One address in one network, with all who claim it. */
export interface Holder {
  readonly network: string;
  readonly address: IpAddress;
  /** Canonical, the whole address. */
  readonly cidr: string;
  /** By workload key: the last in order has the address where several claim it. */
  readonly workloads: Map<string, Claim>;
  node?: PeerBase | undefined;
  reserved?: PeerBase | undefined;
  /** An outside address of the API server. */
  apiserver?: PeerBase | undefined;
  end?: PeerEnd | undefined;
}

export function claimOf(holder: Holder): Claim | undefined {
  const [only] = holder.workloads;
  if (only !== undefined) return holder.workloads.size === 1 ? only[1] : [...holder.workloads].reduce((a, b) => (a[0] > b[0] ? a : b))[1];
  const base = holder.node ?? holder.reserved ?? holder.apiserver;
  return base === undefined ? undefined : { base, names: [] };
}

/** A holder without claims; undefined for text that is no address. */
export function createHolder(network: string, text: string): Holder | undefined {
  const address = parseAddress(text);
  if (address === undefined) return undefined;
  return { network, address, cidr: `${formatAddress(address)}/${address.family === 4 ? 32 : 128}`, workloads: new Map() };
}
