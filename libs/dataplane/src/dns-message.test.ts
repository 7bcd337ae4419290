import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readDnsMessage } from './dns-message.ts';

const label = (text: string): number[] => [text.length, ...Buffer.from(text, 'latin1')];
const name = (...labels: readonly string[]): number[] => [...labels.flatMap(label), 0];
const pointer = (at: number): number[] => [0xc0 | (at >> 8), at & 0xff];
const header = (answers: number, flags = 0x8180, questions = 1): number[] => [0, 7, flags >> 8, flags & 0xff, 0, questions, 0, answers, 0, 0, 0, 0];
const record = (owner: readonly number[], type: number, data: readonly number[], ttl = 300): number[] => [...owner, 0, type, 0, 1, 0, 0, ttl >> 8, ttl & 0xff, 0, data.length, ...data];
const question = (...labels: readonly string[]): number[] => [...name(...labels), 0, 1, 0, 1];
const read = (...parts: readonly (readonly number[])[]): ReturnType<typeof readDnsMessage> => readDnsMessage(Uint8Array.from(parts.flat()));
const V6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

describe('a DNS message', () => {
  it('is its question in lower case and the addresses of its answers, past aliases', () => {
    const message = read(
      header(3), question('API', 'Example', 'com'),
      record(pointer(12), 5, name('edge', 'cdn', 'test')), record(name('edge', 'cdn', 'test'), 1, [192, 0, 2, 1], 60), record(pointer(12), 28, V6),
    );
    expect(message).toEqual({
      name: 'api.example.com', type: 1, rcode: 0,
      addresses: [{ address: '192.0.2.1', ttlSeconds: 60 }, { address: '2001:db8::1', ttlSeconds: 300 }],
    });
  });
  it('has a response code, and a question without an answer has none', () => {
    expect(read(header(0, 0x8183), question('nowhere', 'test'))).toMatchObject({ name: 'nowhere.test', rcode: 3, addresses: [] });
    expect(read(header(0), [0, 0, 2, 0, 1])).toMatchObject({ name: '.', type: 2 });
  });
  it('keeps names with unusual bytes apart from the names they look like', () => {
    expect(read(header(0), question('a.b', 'c\\d', '\u00e9\0'))?.name).toBe('a\\046b.c\\092d.\\233\\000');
  });
  it('keeps what stands before the place where it was cut', () => {
    const whole = [...header(2), ...question('a', 'test'), ...record(pointer(12), 1, [192, 0, 2, 1]), ...record(pointer(12), 1, [192, 0, 2, 2])];
    expect(read(whole.slice(0, -1))?.addresses.map(({ address }) => address)).toEqual(['192.0.2.1']);
  });
  it.each([
    ['no header', [0, 1, 2]],
    ['no question', header(0, 0x8180, 0)],
    ['two questions', [...header(0, 0x8180, 2), ...question('a'), ...question('b')]],
    ['a pointer to itself', [...header(0), ...pointer(12), 0, 1, 0, 1]],
    ['a pointer forwards', [...header(0), ...pointer(14), ...question('a')]],
    ['a label type of the future', [...header(0), 0x41, 0, 0, 1, 0, 1]],
    ['a label that runs out', [...header(0), 5, 97]],
    ['a name of 254 characters', [...header(0), ...question('a'.repeat(63), 'b'.repeat(63), 'c'.repeat(63), 'd'.repeat(62))]],
  ])('with %s is not read', (_, bytes) => {
    expect(read(bytes)).toBeUndefined();
  });
  it('of any bytes is read or not, and ends', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      const message = readDnsMessage(bytes);
      return message === undefined || message.addresses.length <= 64;
    }));
  });
});
