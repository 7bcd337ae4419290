import { createPublicKey, sign, type KeyObject } from 'node:crypto';

const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex'); // RFC 5758 §3.2

/** A PKCS#10 request (RFC 2986) in DER with an empty subject, signed with a P-256 key. */
export function certificateRequest(privateKey: KeyObject): Buffer {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const info = der(0x30, Buffer.from([0x02, 0x01, 0x00]), der(0x30), spki, der(0xa0));
  const signature = sign('sha256', info, privateKey);
  return der(0x30, info, ECDSA_WITH_SHA256, der(0x03, Buffer.from([0]), signature));
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  const { length } = body;
  const header = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), body]);
}
