/**
 * 128-bit content digests that can be kept up to date by adding and subtracting parts.
 *
 * They answer "is this the same content?" between a node and itself or its simulation, so that an unchanged endpoint is
 * not rewritten. They are no signature: authenticity comes from the sealed bundle. Hence a non-cryptographic hash
 * (four multiply-rotate lanes with murmur3's finalizer), and hence the sum over the parts of a set as its digest:
 * a change of one part costs one subtraction and one addition, whatever the size of the set.
 */

/** Four unsigned 32-bit lanes. */
export type Lanes = readonly [number, number, number, number];

/** Hashes a sequence of integers and texts; one instance per sequence. */
export class ContentHash {
  private a = 0x243f6a88;
  private b = 0x85a308d3;
  private c = 0x13198a2e;
  private d = 0x03707344;
  private count = 0;

  /** Adds one integer, its low 32 bits. */
  int(value: number): this {
    this.count++;
    this.a = (rotate(Math.imul(this.a ^ value, 0x9e3779b1), 13) + this.b) | 0;
    this.b = (rotate(Math.imul(this.b ^ rotate(value, 8), 0x85ebca6b), 17) + this.c) | 0;
    this.c = (rotate(Math.imul(this.c ^ rotate(value, 16), 0xc2b2ae35), 19) + this.d) | 0;
    this.d = (rotate(Math.imul(this.d ^ rotate(value, 24), 0x27d4eb2f), 15) + this.a) | 0;
    return this;
  }

  /** Adds a text with its length, so that neighbouring texts cannot run into each other. */
  text(value: string): this {
    this.int(value.length);
    let i = 0;
    for (; i + 1 < value.length; i += 2) this.int(value.charCodeAt(i) | (value.charCodeAt(i + 1) << 16));
    if (i < value.length) this.int(value.charCodeAt(i));
    return this;
  }

  lanes(value: Lanes): this {
    return this.int(value[0]).int(value[1]).int(value[2]).int(value[3]);
  }

  finish(): Lanes {
    const a = this.a ^ this.count;
    const sum = (a + this.b + this.c + this.d) | 0;
    const [w, x, y, z] = [avalanche(a + sum), avalanche(this.b + sum), avalanche(this.c + sum), avalanche(this.d + sum)];
    const all = (w + x + y + z) | 0;
    return [(w + all) >>> 0, (x + all) >>> 0, (y + all) >>> 0, (z + all) >>> 0];
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function avalanche(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

export function digestOfText(text: string): Lanes {
  return new ContentHash().text(text).finish();
}

/** Digest of a multiset: the lane-wise sum of the digests of its members. */
export class SetDigest {
  private readonly sum = new Uint32Array(4);

  add(part: Lanes): void {
    for (let i = 0; i < 4; i++) this.sum[i] = (this.sum[i] ?? 0) + (part[i] ?? 0);
  }

  remove(part: Lanes): void {
    for (let i = 0; i < 4; i++) this.sum[i] = (this.sum[i] ?? 0) - (part[i] ?? 0);
  }

  lanes(): Lanes {
    return [this.sum[0] ?? 0, this.sum[1] ?? 0, this.sum[2] ?? 0, this.sum[3] ?? 0];
  }
}

/** 32 lower-case hexadecimal digits. */
export function hexOf(lanes: Lanes): string {
  return lanes.map((lane) => lane.toString(16).padStart(8, '0')).join('');
}
