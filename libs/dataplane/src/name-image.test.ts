import { describe, expect, it } from 'vitest';
import { NAME_ANY, NAME_EXACT, NAME_ONE_LABEL, NAME_SOME_LABELS } from './abi/constants.ts';
import { NAME_KEY } from './abi/layouts.ts';
import { bytesText } from './abi/text.ts';
import { buildNameImage, nameKey } from './name-image.ts';

const LONGEST = ['a', 'b', 'c'].map((letter) => letter.repeat(63)).join('.') + `.${'d'.repeat(61)}`;

describe('the key of a name', () => {
  it.each([
    ['name', 'API.example.com.', NAME_EXACT, 'api.example.com'],
    ['pattern', 'api.example.com', NAME_EXACT, 'api.example.com'],
    ['pattern', '*.example.com', NAME_ONE_LABEL, 'example.com'],
    ['pattern', '**.example.com', NAME_SOME_LABELS, 'example.com'],
    ['pattern', '*', NAME_ANY, ''],
    ['name', LONGEST, NAME_EXACT, LONGEST],
  ] as const)('of %s %s says how its fixed part is matched, which it holds from its end', (kind, value, as, fixed) => {
    const { kind: found, reversed } = NAME_KEY.decode(nameKey({ kind, value }) ?? new Uint8Array(NAME_KEY.size));
    expect([found, bytesText(reversed.slice(0, fixed.length).reverse()), bytesText(reversed.slice(fixed.length))]).toEqual([as, fixed, '']);
  });
  it.each([['pattern', 'a*.example.com'], ['pattern', '*.a.*.com'], ['name', `x.${LONGEST}`], ['pattern', `${'*'.repeat(300)}.example.com`]] as const)(
    'is none where the kernel cannot match: %s %s', (kind, value) => {
      expect(nameKey({ kind, value })).toBeUndefined();
    });
});

describe('names in a policy', () => {
  it('that no DNS name can be are left unmatched, and the rest is enforced', () => {
    const live = { selectors: [{ kind: 'name', value: `x.${LONGEST}` }, { kind: 'name', value: 'a.test' }], classes: [] } as const;
    const image = buildNameImage({ live, shadow: undefined, dnsRules: new Map(), resolvers: [] }, () => new Uint8Array(32));
    expect([image.unmatched, image.selectors.map(({ text }) => text)]).toEqual([[`name:x.${LONGEST}`], ['name:a.test']]);
  });
});
