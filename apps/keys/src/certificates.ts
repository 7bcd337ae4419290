import 'reflect-metadata';
import { createPublicKey, randomBytes, webcrypto, X509Certificate, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

export interface Authority {
  readonly certificatePem: string;
  readonly key: KeyObject;
}

/** A self-signed P-256 certificate authority that signs leaves only (path length 0, RFC 5280 §4.2.1.9). */
export async function createAuthority(name: string, key: KeyObject, lifetimeDays: number, now: Date): Promise<string> {
  const keys = await cryptoKeys(key);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    notBefore: new Date(now.getTime() - DAY_MS),
    notAfter: new Date(now.getTime() + lifetimeDays * DAY_MS),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString('pem').trim()}\n`;
}

/** A TLS server certificate for the gateway. @returns leaf and issuer, PEM */
export async function issueServerCertificate(authority: Authority, key: KeyObject, hosts: readonly string[], lifetimeDays: number, now: Date): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: 'CN=palisade-gateway',
    issuer: issuer.subject,
    notBefore: new Date(now.getTime() - DAY_MS),
    notAfter: new Date(now.getTime() + lifetimeDays * DAY_MS),
    publicKey: (await cryptoKeys(key)).publicKey,
    signingKey: (await cryptoKeys(authority.key)).privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth], false),
      new x509.SubjectAlternativeNameExtension(hosts.map((host) => ({ type: isIP(host) === 0 ? 'dns' : 'ip', value: host }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return `${leaf.toString('pem').trim()}\n${authority.certificatePem}`;
}

/** True while the certificate serves these hosts, was issued by this authority, and has more than a third of a year left. */
export function serverCertificateServes(chainPem: string, authorityPem: string, hosts: readonly string[], now: Date): boolean {
  const leaf = new X509Certificate(chainPem);
  const remaining = Date.parse(leaf.validTo) - now.getTime();
  const named = (host: string) => (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined;
  return remaining > 120 * DAY_MS && leaf.verify(new X509Certificate(authorityPem).publicKey) && hosts.every(named);
}

async function cryptoKeys(key: KeyObject): Promise<{ readonly privateKey: webcrypto.CryptoKey; readonly publicKey: webcrypto.CryptoKey }> {
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', key.export({ type: 'pkcs8', format: 'der' }), P256, false, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', spki, P256, true, ['verify']),
  };
}

function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
