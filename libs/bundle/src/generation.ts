import { BundleError } from './bundle-error.ts';

/** Position of a bundle in its cluster's history: ordered by epoch, then n. Both are unsigned 64 bit. */
export interface Generation {
  readonly epoch: bigint;
  readonly n: bigint;
}

const MAX_U64 = (1n << 64n) - 1n;

/** Negative, zero or positive, as `a` is older than, equal to or newer than `b`. */
export function compareGenerations(a: Generation, b: Generation): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  if (a.n !== b.n) return a.n < b.n ? -1 : 1;
  return 0;
}

/** `epoch.n`, the form used in logs, file names and `RunningState.generation`. */
export function formatGeneration(generation: Generation): string {
  return `${generation.epoch}.${generation.n}`;
}

/** @throws BundleError `malformed` */
export function parseGeneration(text: string): Generation {
  const match = /^(0|[1-9][0-9]{0,19})\.(0|[1-9][0-9]{0,19})$/.exec(text);
  if (match === null) throw new BundleError('malformed', `"${text.slice(0, 64)}" is not a generation of the form epoch.n`);
  const generation = { epoch: BigInt(match[1] as string), n: BigInt(match[2] as string) };
  if (generation.epoch > MAX_U64 || generation.n > MAX_U64) throw new BundleError('malformed', 'a generation has 64-bit parts');
  return generation;
}
