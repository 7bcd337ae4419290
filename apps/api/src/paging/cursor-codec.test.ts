import { randomBytes } from 'node:crypto';
import { parseTenantId } from '@palisade/tenancy';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CursorCodec } from './cursor-codec.ts';

const a = parseTenantId('00000000-0000-7000-8000-00000000000a');
const b = parseTenantId('00000000-0000-7000-8000-00000000000b');
const codec = new CursorCodec(randomBytes(32));

describe('a cursor', () => {
  it('gives back its position to its own tenant and list only', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 200 }), fc.integer()), fc.string(), (position, list) => {
        const cursor = codec.encode(a, list, position);
        expect(codec.decode(a, list, cursor)).toEqual(position);
        expect(() => codec.decode(b, list, cursor)).toThrow();
        expect(() => codec.decode(a, `${list}x`, cursor)).toThrow();
        expect(() => new CursorCodec(randomBytes(32)).decode(a, list, cursor)).toThrow();
      }),
    );
  });

  it('is refused as invalid, whatever is made up', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => codec.decode(a, 'list', text)).toThrowError(expect.objectContaining({ code: 'cursor.invalid' }));
      }),
    );
  });

  it('cannot be moved between lists whose names run into their positions', () => {
    const cursor = codec.encode(a, 'ab', 'c');
    expect(() => codec.decode(a, 'a', cursor)).toThrow();
  });
});
