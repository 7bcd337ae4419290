import { createPublicKey, sign, type KeyObject } from 'node:crypto';

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
const ATTRIBUTES = 0xa0; // [0] IMPLICIT
const VERSION_0 = Buffer.from([0x02, 0x01, 0x00]);
const EMPTY_NAME = Buffer.from([SEQUENCE, 0x00]);
const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex'); // RFC 5758 §3.2

/**
 * A PKCS#10 certificate request (RFC 2986) in DER, with an empty subject and no attributes: the control plane decides
 * the names. The signature proves possession of the key.
 * @param privateKey ECDSA P-256
 */
export function certificateRequest(privateKey: KeyObject): Buffer {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const info = der(SEQUENCE, VERSION_0, EMPTY_NAME, spki, der(ATTRIBUTES));
  const signature = sign('sha256', info, privateKey);
  return der(SEQUENCE, info, ECDSA_WITH_SHA256, der(BIT_STRING, Buffer.from([0]), signature));
}

/** Tag, definite length, contents (X.690 §8.1). */
function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag]), derLength(body.length), body]);
}

function derLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  if (length < 0x100) return Buffer.from([0x81, length]);
  return Buffer.from([0x82, length >> 8, length & 0xff]);
}
