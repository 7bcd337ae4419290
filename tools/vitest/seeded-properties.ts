import fc from 'fast-check';

/**
 * Property tests see the same inputs in every run, so that a failure belongs to the change it appears with.
 * `PALISADE_PROPERTY_SEED=random` (or a number) looks elsewhere; a failure prints the seed to repeat it.
 */
const asked = process.env['PALISADE_PROPERTY_SEED'];
const seed = asked === undefined ? 20_261_122 : asked === 'random' ? Date.now() : Number(asked);
if (!Number.isSafeInteger(seed)) throw new Error(`PALISADE_PROPERTY_SEED is '${asked}': give a whole number or 'random'.`);

fc.configureGlobal({ seed });
