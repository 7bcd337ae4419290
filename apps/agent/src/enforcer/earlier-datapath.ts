import type { KernelPort } from '@palisade/dataplane';
import { CLSACT, detachPinned } from './pinned-links.ts';
import type { Pins } from './pins.ts';

const SIDES = ['ingress', 'egress'] as const;

function clsactInterfaces(kernel: KernelPort, links: string): number[] {
  return kernel.listPins(links).flatMap((name) => CLSACT.exec(name)?.slice(1).map(Number) ?? []);
}

/**
 * Takes away what agents of another ABI left attached, once the present datapath is in force: until then a packet has to
 * pass both. A clsact filter has one place, which the present one has already taken over.
 */
export function retireEarlierDatapaths(kernel: KernelPort, pins: Pins): void {
  const present = new Set(clsactInterfaces(kernel, pins.links));
  for (const name of kernel.listPins(pins.root)) {
    const base = `${pins.root}/${name}`;
    if (!/^abi-\d+$/.test(name) || base === pins.base) continue;
    for (const ifindex of clsactInterfaces(kernel, `${base}/links`).filter((one) => !present.has(one))) {
      for (const side of SIDES) if (kernel.clsactProgram(ifindex, side) !== 0) kernel.detachClsact(ifindex, side);
    }
    for (const folder of ['links', 'netfilter']) detachPinned(kernel, `${base}/${folder}`);
    kernel.removePin(base);
  }
}
