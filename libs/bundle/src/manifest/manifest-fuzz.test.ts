import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BundleError } from '../bundle-error.ts';
import type { JsonValue } from '../canonical/canonical-json.ts';
import { parseEnvelope } from '../signing/dsse.ts';
import { bundleInput, newSigners } from '../testing/test-authority.ts';
import { parseRoot } from '../tuf/root.ts';
import { parseTargets } from '../tuf/image-targets.ts';
import { encodeManifest, parseManifest } from './manifest.ts';
import { sealBundle } from './seal-bundle.ts';

/** Replaces one value somewhere inside. */
function mutate(value: JsonValue, path: readonly number[], replacement: JsonValue): JsonValue {
  const [step, ...rest] = path;
  if (step === undefined || value === null || typeof value !== 'object') return replacement;
  if (Array.isArray(value)) return value.length === 0 ? replacement : (value as readonly JsonValue[]).map((item, index) => (index === step % value.length ? mutate(item, rest, replacement) : item));
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([key, member], index) => [key, index === step % entries.length ? mutate(member as JsonValue, rest, replacement) : member]));
}

describe('parsers of signed documents', () => {
  it('give a manifest back or refuse with a code, for any change of a good one', async () => {
    const { manifest } = await sealBundle(bundleInput(), newSigners().director);
    const good = encodeManifest(manifest);
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), (path, replacement) => {
        try {
          expect(encodeManifest(parseManifest(mutate(good, path, replacement as JsonValue)))).toEqual(mutate(good, path, replacement as JsonValue));
        } catch (error) {
          if (!(error instanceof BundleError)) throw error;
        }
      }),
      { numRuns: 500 },
    );
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it.each([
    ['root', parseRoot],
    ['targets', parseTargets],
    ['envelopes', (bytes: Uint8Array) => parseEnvelope(bytes, 10_000)],
  ])('refuse any other bytes with a code (%s)', (_what, parse) => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map((text) => Buffer.from(text))), (bytes) => {
        expect(() => parse(bytes)).toThrow(BundleError);
      }),
      { numRuns: 300 },
    );
  });
});
