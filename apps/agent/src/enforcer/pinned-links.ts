import type { KernelPort } from '@palisade/dataplane';

/** Pin of a slot that is attached without links: `<slot>-clsact_<ifindex>`, a pin of the program that stands for both. */
export const CLSACT = /(?:^|-)clsact_(\d+)$/;

/**
 * Ends the links that are pinned in a folder. They would fall with their pins too, but some time after, and until then they
 * judge on. The pins stay.
 */
export function detachPinned(kernel: KernelPort, folder: string): void {
  for (const name of kernel.listPins(folder)) {
    if (CLSACT.test(name)) continue;
    const link = kernel.openPin(`${folder}/${name}`);
    if (link === undefined) continue;
    kernel.detach(link);
    kernel.close(link);
  }
}
