import { PALISADE_ABI } from '@palisade/dataplane';

/** Where one node's datapath lives in the BPF file system. Pins of another ABI are never opened; they go once this ABI is in force. */
export class Pins {
  readonly root: string;
  readonly base: string;

  constructor(root: string) {
    this.root = root;
    this.base = `${root}/abi-${PALISADE_ABI}`;
  }

  get maps(): string {
    return `${this.base}/maps`;
  }

  map(name: string): string {
    return `${this.maps}/${name}`;
  }

  get programs(): string {
    return `${this.base}/programs`;
  }

  program(digest: string, name: string): string {
    return `${this.programs}/${digest}/${name}`;
  }

  get links(): string {
    return `${this.base}/links`;
  }

  link(slot: number, side: string): string {
    return `${this.links}/${slot}-${side}`;
  }

  get netfilter(): string {
    return `${this.base}/netfilter`;
  }

  /** Links of the hooks that note processes, most of them tracepoints. */
  get processHooks(): string {
    return `${this.base}/tracepoints`;
  }

  get policies(): string {
    return `${this.base}/policies`;
  }

  get addresses(): string {
    return `${this.base}/addresses`;
  }
}
