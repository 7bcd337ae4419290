/** Text in fixed, zero-padded fields. */

/** UTF-8 bytes of `text`. @throws RangeError when they do not fit `size`. */
export function textBytes(text: string, size: number): Uint8Array {
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
  if (bytes.length > size) throw new RangeError(`“${text}” takes ${bytes.length} bytes, ${size} fit`);
  return Uint8Array.from(bytes);
}

/** Text of a zero-padded field. */
export function bytesText(bytes: Uint8Array): string {
  let escaped = '';
  for (const byte of bytes) {
    if (byte === 0) break;
    escaped += `%${byte.toString(16).padStart(2, '0')}`;
  }
  return decodeURIComponent(escaped);
}

export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

export function unhex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
