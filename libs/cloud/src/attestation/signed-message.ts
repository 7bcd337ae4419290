import { createHash, verify, X509Certificate, type KeyObject } from 'node:crypto';
import { ContentInfo, id_signedData, SignedData, type SignerInfo } from '@peculiar/asn1-cms';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AttestationRefused, MAX_EVIDENCE_BYTES } from './attestation.ts';

const OID_CONTENT_TYPE = '1.2.840.113549.1.9.3';
const OID_MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const OID_SHA256 = '2.16.840.1.101.3.4.2.1';
const SIGNATURE_OIDS = new Set(['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.11']); // rsaEncryption, sha256WithRSAEncryption
const SET_OF = 0x31;

/** A CMS message with exactly one signer (RFC 5652 §5), read but not verified. */
export interface SignedMessage {
  readonly content: Uint8Array;
  /** Certificates that came along, in their order. */
  readonly certificates: readonly X509Certificate[];
  /** True when the key signed the content: RSA with SHA-256, over the signed attributes where there are any. */
  signedBy(key: KeyObject): boolean;
}

/**
 * Reads PKCS#7 in DER or base64, with the content inside.
 * @throws AttestationRefused `malformed`
 */
export function readSignedMessage(evidence: Uint8Array): SignedMessage {
  if (evidence.byteLength > MAX_EVIDENCE_BYTES) throw malformed(`it has ${evidence.byteLength} bytes, at most ${MAX_EVIDENCE_BYTES} are read`);
  try {
    return readBounded(evidence);
  } catch (error) {
    if (error instanceof AttestationRefused) throw error;
    // The ASN.1 library puts whatever the bytes hold into its fields and fails only where they are used.
    throw malformed('a part of it is of another kind than RFC 5652 has there');
  }
}

function readBounded(evidence: Uint8Array): SignedMessage {
  const data = parse(evidence[0] === 0x30 ? evidence : fromBase64(evidence));
  const [signer, second] = data.signerInfos;
  if (signer === undefined || second !== undefined) throw malformed('one signer is needed');
  if (signer.digestAlgorithm.algorithm !== OID_SHA256) throw malformed('only SHA-256 digests are accepted');
  if (!SIGNATURE_OIDS.has(signer.signatureAlgorithm.algorithm)) throw malformed('only RSA signatures are accepted');
  const content = contentOf(data);
  const signed = signedBytes(signer, content, data.encapContentInfo.eContentType);
  const signature = new Uint8Array(signer.signature.buffer);
  return {
    content,
    certificates: certificatesOf(data),
    signedBy: (key) => key.asymmetricKeyType === 'rsa' && verify('sha256', signed, key, signature),
  };
}

function parse(der: Uint8Array): SignedData {
  try {
    const info = AsnConvert.parse(der.slice(), ContentInfo);
    if (info.contentType !== id_signedData) throw malformed('it is not SignedData');
    return AsnConvert.parse(info.content, SignedData);
  } catch (error) {
    if (error instanceof AttestationRefused) throw error;
    throw malformed('it is not DER');
  }
}

function certificatesOf(data: SignedData): readonly X509Certificate[] {
  try {
    return [...(data.certificates ?? [])].flatMap(({ certificate }) => (certificate === undefined ? [] : [new X509Certificate(Buffer.from(AsnConvert.serialize(certificate)))]));
  } catch {
    throw malformed('a certificate in it cannot be read');
  }
}

function contentOf(data: SignedData): Uint8Array {
  const { eContent } = data.encapContentInfo;
  if (eContent?.single !== undefined) return new Uint8Array(eContent.single.buffer);
  throw malformed('the signed document is not inside');
}

/** RFC 5652 §5.4: the signature is over the attributes as SET OF, which must hold the content's type and digest. */
function signedBytes(signer: SignerInfo, content: Uint8Array, contentType: string): Uint8Array {
  const attributes = signer.signedAttrs;
  if (attributes === undefined) return content;
  const values = (type: string) => attributes.filter(({ attrType }) => attrType === type).flatMap(({ attrValues }) => attrValues);
  const [digest, otherDigest] = values(OID_MESSAGE_DIGEST);
  if (digest === undefined || otherDigest !== undefined || values(OID_CONTENT_TYPE).length !== 1) throw malformed('its signed attributes are incomplete');
  const wanted = createHash('sha256').update(content).digest();
  if (!Buffer.from(AsnConvert.parse(digest, OctetString).buffer).equals(wanted)) throw new AttestationRefused('bad-signature', 'The signed document was altered.');
  if (!Buffer.from(values(OID_CONTENT_TYPE)[0] as ArrayBuffer).equals(encodeOid(contentType))) throw malformed('its content is of another type than was signed');
  return derSet(attributes.map((attribute) => Buffer.from(AsnConvert.serialize(attribute))));
}

/** SET OF in DER: sorted by encoding (X.690 §11.6). */
function derSet(elements: readonly Buffer[]): Buffer {
  const body = Buffer.concat([...elements].sort(Buffer.compare));
  const length = body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([SET_OF, ...length]), body]);
}

/** An OBJECT IDENTIFIER in DER (X.690 §8.19). */
function encodeOid(oid: string): Buffer {
  const [first = 0, second = 0, ...rest] = oid.split('.').map(Number);
  const body = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return Buffer.from([0x06, body.length, ...body]);
}

function fromBase64(evidence: Uint8Array): Uint8Array {
  const text = Buffer.from(evidence).toString('latin1').replace(/-----[A-Z0-9 ]+-----/g, '').replace(/\s+/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw malformed('it is neither DER nor base64');
  return Buffer.from(text, 'base64');
}

function malformed(why: string): AttestationRefused {
  return new AttestationRefused('malformed', `The signed message cannot be read: ${why}.`);
}
