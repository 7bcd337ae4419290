import 'reflect-metadata';
import { createPublicKey, generateKeyPairSync, randomBytes, webcrypto, type KeyObject } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };
const HOUR = 3600_000;

export interface TestAuthority {
  readonly key: KeyObject;
  readonly pem: string;
}

export async function testAuthority(name: string): Promise<TestAuthority> {
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - HOUR),
    notAfter: new Date(Date.now() + 1000 * HOUR),
    keys: await pair(key),
    signingAlgorithm: SIGNING,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true), new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)],
  });
  return { key, pem: `${certificate.toString('pem').trim()}\n` };
}

export interface LeafOptions {
  readonly spki: Uint8Array;
  readonly name: { readonly type: 'ip' | 'url'; readonly value: string };
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

/** @returns the leaf, PEM, and its serial in lower-case hex */
export async function issueLeaf(authority: TestAuthority, options: LeafOptions): Promise<{ readonly pem: string; readonly serial: string }> {
  const serialNumber = serial();
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber,
    subject: 'CN=test',
    issuer: new x509.X509Certificate(authority.pem).subject,
    notBefore: new Date(options.notBeforeMs ?? Date.now() - 10_000),
    notAfter: new Date(options.notAfterMs ?? Date.now() + 24 * HOUR),
    publicKey: new x509.PublicKey(new Uint8Array(options.spki)),
    signingKey: (await pair(authority.key)).privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth, x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([options.name]),
    ],
  });
  return { pem: `${leaf.toString('pem').trim()}\n`, serial: serialNumber };
}

/** The key of a PKCS#10 request whose own signature holds; undefined otherwise. */
export async function requestedKey(csr: Uint8Array): Promise<Uint8Array | undefined> {
  const request = new x509.Pkcs10CertificateRequest(new Uint8Array(csr));
  return (await request.verify()) ? new Uint8Array(request.publicKey.rawData) : undefined;
}

async function pair(key: KeyObject) {
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), P256, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', createPublicKey(key).export({ type: 'spki', format: 'der' }), P256, true, ['verify']),
  };
}

function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
