import { DomainError } from '@palisade/errors';

const HALF = 32;

/** r ‖ s of P-256 (IEEE P1363) as the DER `SEQUENCE { INTEGER r, INTEGER s }` of RFC 3279 §2.2.3. */
export function derSignature(raw: Uint8Array): Uint8Array {
  if (raw.byteLength !== 2 * HALF) throw new DomainError('service.unavailable', `A P-256 signature has ${2 * HALF} bytes, the service sent ${raw.byteLength}.`);
  const body = Buffer.concat([derInteger(raw.subarray(0, HALF)), derInteger(raw.subarray(HALF))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

/** Without leading zeros, but with one where the first bit is set: DER integers are signed. */
function derInteger(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const digits = Buffer.from(bytes.subarray(start));
  const value = (digits[0] as number) >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits;
  return Buffer.concat([Buffer.from([0x02, value.length]), value]);
}
