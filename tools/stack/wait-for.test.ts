import { describe, expect, it } from 'vitest';
import { waitFor } from './wait-for.ts';

describe('waiting for a condition', () => {
  it('gives the first value that is there', async () => {
    let asked = 0;
    await expect(waitFor('a third time', () => (++asked === 3 ? 'here' : undefined), { withinMs: 5000, everyMs: 1 })).resolves.toBe('here');
  });

  it('says what it waited for and what was there instead', async () => {
    await expect(waitFor('rain', () => false, { withinMs: 5, everyMs: 1, otherwise: () => 'The sun shines.' })).rejects.toThrow(/^Waited 0\.005 s for rain\. The sun shines\.$/);
  });

  it('ends at once when the condition cannot come true any more', async () => {
    await expect(waitFor('rain', () => Promise.reject(new Error('a desert')), { withinMs: 60_000 })).rejects.toThrow('a desert');
  });
});
