import type { KernelPort } from '@palisade/dataplane';
import type { Pins } from './pins.ts';

const SIDES = ['ingress', 'egress'] as const;

function clsactInterfaces(kernel: KernelPort, links: string): number[] {
  return kernel.listPins(links).flatMap((name) => /-clsact_(\d+)$/.exec(name)?.slice(1).map(Number) ?? []);
}

/** Links fall with their pins too, but some time after, and until then they would still drop what the present policy allows. */
function detachLinks(kernel: KernelPort, folder: string): void {
  for (const name of kernel.listPins(folder)) {
    if (name.includes('-clsact_')) continue; // a program
    const link = kernel.openPin(`${folder}/${name}`);
    if (link === undefined) continue;
    kernel.detach(link);
    kernel.close(link);
  }
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
    for (const folder of ['links', 'netfilter']) detachLinks(kernel, `${base}/${folder}`);
    kernel.removePin(base);
  }
}
