import 'reflect-metadata';
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, webcrypto, type KeyObject } from 'node:crypto';
import { Attribute, CertificateChoices, CertificateSet, ContentInfo, DigestAlgorithmIdentifiers, EncapsulatedContent, EncapsulatedContentInfo, id_data, id_signedData, IssuerAndSerialNumber, SignedData, SignerIdentifier, SignerInfo, SignerInfos } from '@peculiar/asn1-cms';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Certificate } from '@peculiar/asn1-x509';
import * as x509 from '@peculiar/x509';

const RSA = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
const DAY = 86_400_000;

export interface TestCertificate {
  readonly pem: string;
  readonly key: KeyObject;
}

export interface CertificateOptions {
  readonly issuer?: TestCertificate;
  readonly host?: string;
  readonly ca?: boolean;
  readonly notAfter?: Date;
}

/** An RSA-2048 certificate, self-signed unless an issuer is given. */
export async function testCertificate(name: string, options: CertificateOptions = {}): Promise<TestCertificate> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const issuer = options.issuer && new x509.X509Certificate(options.issuer.pem);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomBytes(8).toString('hex').replace(/^./, '4'),
    subject: `CN=${name}`,
    issuer: issuer?.subject ?? `CN=${name}`,
    notBefore: new Date(Date.now() - DAY),
    notAfter: options.notAfter ?? new Date(Date.now() + DAY),
    publicKey: await webcrypto.subtle.importKey('spki', createPublicKey(privateKey).export({ type: 'spki', format: 'der' }), RSA, true, ['verify']),
    signingKey: await webcrypto.subtle.importKey('pkcs8', (options.issuer?.key ?? privateKey).export({ type: 'pkcs8', format: 'der' }), RSA, false, ['sign']),
    signingAlgorithm: RSA,
    extensions: [
      new x509.BasicConstraintsExtension(options.ca ?? false, undefined, true),
      ...(options.host === undefined ? [] : [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: options.host }])]),
    ],
  });
  return { pem: certificate.toString('pem'), key: privateKey };
}

/** A CMS message as the metadata services make it: content inside, one RSA signer, signed attributes. @returns DER */
export function signedMessage(content: string, signer: TestCertificate, options: { readonly chain?: readonly TestCertificate[]; readonly attributes?: boolean; readonly digestOf?: string } = {}): Buffer {
  const body = Buffer.from(content);
  const certificate = AsnConvert.parse(new x509.X509Certificate(signer.pem).rawData, Certificate);
  const sha256 = new AlgorithmIdentifier({ algorithm: '2.16.840.1.101.3.4.2.1' });
  const digest = createHash('sha256').update(options.digestOf ?? body).digest();
  const attributes = [
    new Attribute({ attrType: '1.2.840.113549.1.9.3', attrValues: [bytes(Buffer.from('06092a864886f70d010701', 'hex'))] }),
    new Attribute({ attrType: '1.2.840.113549.1.9.4', attrValues: [AsnConvert.serialize(new OctetString(bytes(digest)))] }),
  ];
  const encoded = attributes.map((attribute) => Buffer.from(AsnConvert.serialize(attribute))).sort(Buffer.compare);
  const set = Buffer.concat([Buffer.from([0x31, encoded.reduce((sum, one) => sum + one.length, 0)]), ...encoded]);
  const withAttributes = options.attributes !== false;
  const info = new SignerInfo({
    version: 1,
    sid: new SignerIdentifier({ issuerAndSerialNumber: new IssuerAndSerialNumber({ issuer: certificate.tbsCertificate.issuer, serialNumber: certificate.tbsCertificate.serialNumber }) }),
    digestAlgorithm: sha256,
    signatureAlgorithm: new AlgorithmIdentifier({ algorithm: '1.2.840.113549.1.1.1', parameters: null }),
    signature: new OctetString(bytes(sign('sha256', withAttributes ? set : body, signer.key))),
    ...(withAttributes && { signedAttrs: attributes }),
  });
  const data = new SignedData({
    version: 1,
    digestAlgorithms: new DigestAlgorithmIdentifiers([sha256]),
    encapContentInfo: new EncapsulatedContentInfo({ eContentType: id_data, eContent: new EncapsulatedContent({ single: new OctetString(bytes(body)) }) }),
    signerInfos: new SignerInfos([info]),
    ...(options.chain && {
      certificates: new CertificateSet(options.chain.map(({ pem }) => new CertificateChoices({ certificate: AsnConvert.parse(new x509.X509Certificate(pem).rawData, Certificate) }))),
    }),
  });
  return Buffer.from(AsnConvert.serialize(new ContentInfo({ contentType: id_signedData, content: AsnConvert.serialize(data) })));
}

/** A signed JWT. */
export function signedToken(claims: unknown, key: KeyObject, header: Readonly<Record<string, unknown>> = {}): string {
  const alg = key.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256';
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode({ alg, kid: 'key-1', ...header })}.${encode(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

function bytes(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer;
}
