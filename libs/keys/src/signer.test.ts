import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tufKeyId, tufKeyOf, verificationKey, type Signer } from '@palisade/bundle';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openAwsKmsSigner } from './aws/aws-kms-signer.ts';
import { derSignature } from './azure/der-signature.ts';
import { openAzureKeyVaultSigner } from './azure/azure-key-vault-signer.ts';
import { openFileSigner } from './file-signer.ts';
import { openSigner } from './open-signer.ts';
import { SIGNED_DATA, startAwsKms, startAzureKeyVault, type KeyService } from './testing/kms-contract-server.ts';
import { LOOPBACK_TLS } from './testing/loopback-tls.ts';

const VERSION = 'a'.repeat(32);
const credential = { getToken: async () => ({ token: 'a-token', expiresOnTimestamp: Date.now() + 3600_000 }) };
const client = { tlsOptions: { ca: LOOPBACK_TLS.cert }, disableChallengeResourceVerification: true, retryOptions: { maxRetries: 0 } };
const keyUrl = () => `${azure.url}/keys/director/${VERSION}`;

let aws: KeyService;
let azure: KeyService;
let dir: string;
const environment = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' };

beforeAll(async () => {
  Object.assign(process.env, environment);
  dir = mkdtempSync(join(tmpdir(), 'palisade-signer-'));
  [aws, azure] = await Promise.all([startAwsKms(), startAzureKeyVault(LOOPBACK_TLS)]);
});
afterAll(async () => {
  for (const name of Object.keys(environment)) delete process.env[name];
  rmSync(dir, { recursive: true });
  await Promise.all([aws.stop(), azure.stop()]);
});

function keyFile(name: string, mode: number): string {
  const path = join(dir, name);
  writeFileSync(path, generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode });
  chmodSync(path, mode);
  return path;
}

const ADAPTERS: readonly (readonly [string, () => Promise<Signer>])[] = [
  ['a file', async () => openFileSigner(keyFile('file.key', 0o600))],
  ['AWS KMS', () => openAwsKmsSigner({ keyId: 'alias/director', region: 'eu-central-1', endpoint: aws.url })],
  ['Azure Key Vault', () => openAzureKeyVaultSigner({ keyUrl: keyUrl(), credential, client })],
];

describe.each(ADAPTERS)('a signer in %s', (_name, open) => {
  it('names its public key by the id that verifiers compute', async () => {
    const signer = await open();
    expect(signer.keyId).toBe(tufKeyId(signer.key));
  });

  it('makes signatures that verify, of exactly the data', async () => {
    const signer = await open();
    const key = verificationKey(signer.key);
    const signatures = await Promise.all([1, 2, 3, 4].map(() => signer.sign(SIGNED_DATA)));
    for (const signature of signatures) {
      expect(key.verify(SIGNED_DATA, signature)).toBe(true);
      expect(key.verify(Buffer.from('other data'), signature)).toBe(false);
    }
  });
}, 30_000);

describe('key services', () => {
  it('see digests and no data, and have the key that the signer names', async () => {
    await (await openAwsKmsSigner({ keyId: 'alias/director', region: 'eu-central-1', endpoint: aws.url })).sign(SIGNED_DATA);
    expect(aws.operations).toContain('TrentService.Sign');
    const signer = await openAzureKeyVaultSigner({ keyUrl: keyUrl(), credential, client });
    expect(signer.keyId).toBe(tufKeyId(tufKeyOf(azure.publicKey)));
  });

  it('that fail are an error, never a signature', async () => {
    const signers = [await openAwsKmsSigner({ keyId: 'alias/x', region: 'eu-central-1', endpoint: aws.url }), await openAzureKeyVaultSigner({ keyUrl: keyUrl(), credential, client })];
    aws.failing = azure.failing = true;
    for (const signer of signers) await expect(signer.sign(SIGNED_DATA)).rejects.toMatchObject({ code: 'service.unavailable' });
    aws.failing = azure.failing = false;
  }, 30_000);

  it('are named by references, and other references are refused', async () => {
    expect((await openSigner(`file:${keyFile('other.key', 0o600)}`)).key.keytype).toBe('ed25519');
    for (const reference of ['aws-kms:alias/x', 'azure-key-vault:https://vault/keys/name', 'vault:secret', '']) {
      await expect(openSigner(reference)).rejects.toMatchObject({ code: 'request.invalid' });
    }
  });
});

it('refuses a key file that others can read', () => {
  expect(() => openFileSigner(keyFile('loose.key', 0o644))).toThrow(expect.objectContaining({ code: 'request.invalid' }));
});

describe('raw P-256 signatures', () => {
  it.each([
    ['a small r', 1, 0x7f],
    ['a set first bit', 0x80, 0xff],
  ])('are written in DER with %s', (_what, first, second) => {
    const raw = Buffer.alloc(64);
    raw[31] = first;
    raw[0] = first >= 0x80 ? first : 0;
    raw[32] = second;
    const der = Buffer.from(derSignature(raw));
    expect(der[0]).toBe(0x30);
    expect(der[1]).toBe(der.length - 2);
    expect(der[4]).toBe(first >= 0x80 ? 0 : first);
  });

  it('of another length are refused', () => {
    expect(() => derSignature(Buffer.alloc(63))).toThrow(expect.objectContaining({ code: 'service.unavailable' }));
  });
});
