import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatNodeSpiffeId, type NodeIdentity } from '@palisade/protocol';
import * as x509 from '@peculiar/x509';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface NodeCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A gateway's TLS folder, and an authority that issues node certificates for it. */
export interface TestAuthority {
  readonly folder: string;
  /** PEM that the gateway's certificate is verified with. */
  readonly gatewayCa: string;
  /** @param notAfter in an hour when absent */
  issue(identity: Omit<NodeIdentity, 'trustDomain'>, notAfter?: Date): Promise<NodeCertificate>;
  remove(): void;
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return `-----BEGIN PRIVATE KEY-----\n${Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64')}\n-----END PRIVATE KEY-----\n`;
}

const newKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
const lifetime = () => ({ notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) });

export async function createTestAuthority(): Promise<TestAuthority> {
  const folder = mkdtempSync(join(tmpdir(), 'gateway-flows-'));
  const keys = await newKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({ name: 'CN=node-ca', ...lifetime(), keys, signingAlgorithm: ALGORITHM, extensions: [new x509.BasicConstraintsExtension(true, 0, true)] });
  const serverKeys = await newKeys();
  const server = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost', ...lifetime(), keys: serverKeys, signingAlgorithm: ALGORITHM, extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  writeFileSync(join(folder, 'node-ca.crt'), authority.toString('pem'));
  writeFileSync(join(folder, 'server.crt'), server.toString('pem'));
  writeFileSync(join(folder, 'server.key'), await keyPem(serverKeys.privateKey));
  return {
    folder,
    gatewayCa: server.toString('pem'),
    async issue(identity, notAfter) {
      const own = await newKeys();
      const leaf = await x509.X509CertificateGenerator.create({
        subject: 'CN=node', issuer: authority.subject, ...lifetime(), ...(notAfter && { notAfter }), publicKey: own.publicKey, signingKey: keys.privateKey, signingAlgorithm: ALGORITHM,
        extensions: [
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth], false),
          new x509.SubjectAlternativeNameExtension([{ type: 'url', value: formatNodeSpiffeId({ trustDomain: 'test', ...identity }) }]),
        ],
      });
      return { cert: leaf.toString('pem'), key: await keyPem(own.privateKey) };
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
