import 'reflect-metadata';
import { createPrivateKey, createPublicKey, randomBytes, webcrypto, X509Certificate as NodeX509 } from 'node:crypto';
import type { CertificateAuthority, IssuedCertificate, NodeIdentity } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import * as x509 from '@peculiar/x509';

const LIFETIME_MS = 24 * 3600 * 1000;
/** Tolerates clocks that run a little behind (trust-and-fleet §1). */
const BACKDATE_MS = 10_000;

export interface NodeAuthorityMaterial {
  /** PEM of the issuing certificate, followed by any intermediates up to the root that gateways trust. */
  readonly chainPem: string;
  /** PKCS#8 PEM, P-256. */
  readonly keyPem: string;
  readonly trustDomain: string;
}

/** The node CA with its key in a file: signs in this process. */
export class NodeCertificateAuthority implements CertificateAuthority {
  readonly #issuer: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;
  readonly #material: NodeAuthorityMaterial;
  readonly #authorityKeyId: x509.AuthorityKeyIdentifierExtension;

  private constructor(issuer: x509.X509Certificate, key: webcrypto.CryptoKey, material: NodeAuthorityMaterial, keyId: x509.AuthorityKeyIdentifierExtension) {
    this.#issuer = issuer;
    this.#key = key;
    this.#material = material;
    this.#authorityKeyId = keyId;
  }

  /** @throws Error when the key does not belong to the certificate */
  static async open(material: NodeAuthorityMaterial): Promise<NodeCertificateAuthority> {
    const der = Buffer.from(material.keyPem.replace(/-----[^-]+-----/g, ''), 'base64');
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
    const key = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
    const issuer = new x509.X509Certificate(material.chainPem);
    if (!new NodeX509(material.chainPem).checkPrivateKey(createPrivateKey(material.keyPem))) {
      throw new Error('The node CA key does not belong to its certificate; run the key ceremony again or restore both files.');
    }
    const keyId = await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey);
    return new NodeCertificateAuthority(issuer, key, material, keyId);
  }

  async readRequest(csrDer: Uint8Array): Promise<{ readonly publicKey: Uint8Array }> {
    const csr = parseRequest(csrDer);
    const publicKey = new Uint8Array(csr.publicKey.rawData);
    requireAllowedKey(publicKey);
    const signed = await csr.verify().catch(() => false);
    if (!signed) throw new DomainError('request.invalid', 'The certificate request is not signed by its own key.', { pointer: '/csr' });
    return { publicKey };
  }

  async issue(identity: NodeIdentity, publicKey: Uint8Array, now: Date): Promise<IssuedCertificate> {
    const serial = serialNumber();
    const notBefore = wholeSecond(now.getTime() - BACKDATE_MS);
    const notAfter = wholeSecond(now.getTime() + LIFETIME_MS);
    const spki = new x509.PublicKey(new Uint8Array(publicKey));
    const leaf = await x509.X509CertificateGenerator.create({
      serialNumber: serial,
      subject: `CN=${identity.nodeId}`,
      issuer: this.#issuer.subject,
      notBefore,
      notAfter,
      publicKey: spki,
      signingKey: this.#key,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth], false),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: this.spiffeId(identity) }], true),
        this.#authorityKeyId,
      ],
    });
    return { serial, chainPem: `${leaf.toString('pem')}\n${this.#material.chainPem.trim()}\n`, publicKey, notBefore, notAfter };
  }

  private spiffeId(identity: NodeIdentity): string {
    return `spiffe://${this.#material.trustDomain}/tenant/${identity.tenantId}/cluster/${identity.clusterId}/node/${identity.nodeId}`;
  }
}

function parseRequest(csrDer: Uint8Array): x509.Pkcs10CertificateRequest {
  try {
    return new x509.Pkcs10CertificateRequest(new Uint8Array(csrDer));
  } catch (cause) {
    throw new DomainError('request.invalid', 'The certificate request is not a DER-encoded PKCS#10 request.', { pointer: '/csr', cause });
  }
}

function requireAllowedKey(spki: Uint8Array): void {
  let kind: string | undefined;
  let curve: string | undefined;
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    kind = key.asymmetricKeyType;
    curve = key.asymmetricKeyDetails?.namedCurve;
  } catch {
    // Falls through to the refusal below: an unreadable key is not an allowed one.
  }
  if (kind === 'ed25519' || (kind === 'ec' && curve === 'prime256v1')) return;
  throw new DomainError('request.invalid', 'Node keys are P-256 or Ed25519; create a key of one of these kinds.', { pointer: '/csr' });
}

/** 127 random bits, positive and without a leading zero byte, so that every library prints it the same. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}
