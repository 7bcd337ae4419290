/** Text in fixed, zero-padded fields. */

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Nearly all names are ASCII, and a node has thousands: undefined where a character is none. */
function asciiBytes(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 0x7f) return undefined;
    bytes[at] = code;
  }
  return bytes;
}

/** UTF-8 bytes of `text`. */
export function bytesOf(text: string): Uint8Array {
  return asciiBytes(text) ?? utf8Bytes(text);
}

/** UTF-8 bytes of `text`. @throws RangeError when they do not fit `size`. */
export function textBytes(text: string, size: number): Uint8Array {
  const bytes = bytesOf(text);
  if (bytes.length > size) throw new RangeError(`“${text}” takes ${bytes.length} bytes, ${size} fit`);
  return bytes;
}

function utf8Bytes(text: string): Uint8Array {
  const escaped = encodeURIComponent(text);
  const bytes: number[] = [];
  for (let at = 0; at < escaped.length; at += 1) {
    if (escaped[at] === '%') {
      bytes.push(Number.parseInt(escaped.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(escaped.charCodeAt(at));
    }
  }
  return Uint8Array.from(bytes);
}

/** Text of a zero-padded field. */
export function bytesText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const used = end < 0 ? bytes : bytes.subarray(0, end);
  let text = '';
  for (let at = 0; at < used.length; at += 1) {
    const byte = used[at] ?? 0;
    if (byte > 0x7f) return utf8Text(used);
    text += String.fromCharCode(byte);
  }
  return text;
}

function utf8Text(bytes: Uint8Array): string {
  let escaped = '';
  for (const byte of bytes) escaped += `%${HEX[byte]}`;
  return decodeURIComponent(escaped);
}

export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte];
  return text;
}

export function unhex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
