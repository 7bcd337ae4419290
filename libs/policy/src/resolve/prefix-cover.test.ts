import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coverPrefixes, valueAt, type PortSteps, type PrefixEntry } from './prefix-cover.ts';

const steps = fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 5 }).chain((cuts) => {
  const starts = [0, ...cuts.sort((a, b) => a - b)];
  return fc.tuple(...starts.map(() => fc.integer({ min: 0, max: 3 }))).map((values): PortSteps => ({ starts, values }));
});

function lookup(entries: readonly PrefixEntry[], fallback: PortSteps, port: number): number {
  const matching = entries.filter((entry) => port >>> (16 - entry.length) === entry.port >>> (16 - entry.length));
  return matching.sort((a, b) => b.length - a.length)[0]?.value ?? valueAt(fallback, port);
}

/** Least number of entries for the 2^bits ports, by trying every value at every block: the definition, for few ports. */
function fewest(wanted: readonly number[], fallback: readonly number[], inherited: number | undefined): number {
  const own = (value: number | undefined): number =>
    wanted.length === 1
      ? Number((value ?? fallback[0]) !== wanted[0])
      : fewest(wanted.slice(0, wanted.length / 2), fallback.slice(0, wanted.length / 2), value) + fewest(wanted.slice(wanted.length / 2), fallback.slice(wanted.length / 2), value);
  return Math.min(own(inherited), ...(wanted.length === 1 ? [] : [...new Set(wanted)].map((value) => 1 + own(value))));
}

describe('coverPrefixes', () => {
  it('gives every port its value, at the cuts and between them', () => {
    fc.assert(
      fc.property(steps, steps, fc.array(fc.integer({ min: 0, max: 65535 })), (wanted, fallback, ports) => {
        const entries = coverPrefixes(wanted, fallback);
        for (const port of [...ports, ...wanted.starts.flatMap((start) => [Math.max(0, start - 1), start]), 65535]) {
          expect(lookup(entries, fallback, port)).toBe(valueAt(wanted, port));
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('uses as few entries as any other cover', () => {
    const eight = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 8, maxLength: 8 });
    const blown = (values: readonly number[]): PortSteps => ({ starts: values.map((_, i) => i * 8192), values });
    fc.assert(
      fc.property(eight, eight, (wanted, fallback) => {
        expect(coverPrefixes(blown(wanted), blown(fallback))).toHaveLength(fewest(wanted, fallback, undefined));
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('needs nothing where the fallback already says it, and one entry for the whole range', () => {
    const all: PortSteps = { starts: [0], values: [7] };
    expect(coverPrefixes(all, all)).toEqual([]);
    expect(coverPrefixes(all, { starts: [0], values: [8] })).toEqual([{ port: 0, length: 0, value: 7 }]);
  });
});
