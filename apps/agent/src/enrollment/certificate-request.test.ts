import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { requestedKey } from '../testing/test-certificates.ts';
import { certificateRequest } from './certificate-request.ts';
import { renewalTimeMs } from './renew.ts';

describe('the certificate request', () => {
  it('is PKCS#10 that another implementation reads and verifies, for our key', async () => {
    for (let round = 0; round < 20; round += 1) {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
      expect(Buffer.from((await requestedKey(certificateRequest(privateKey))) ?? [])).toEqual(spki);
    }
  });
});

describe('renewal', () => {
  it('is due at half-life, ten per cent earlier or later', () => {
    const times = { notBeforeMs: 0, notAfterMs: 100 };
    expect([renewalTimeMs(times, 0), renewalTimeMs(times, 0.5), renewalTimeMs(times, 1)].map(Math.round)).toEqual([45, 50, 55]);
  });
});
