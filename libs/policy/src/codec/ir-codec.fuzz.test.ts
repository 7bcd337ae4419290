import { isDomainError } from '@palisade/errors';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { PolicyDocument } from '../ir.ts';
import { createPolicySet } from '../policy-set.ts';
import { decodePolicySet } from './ir-codec.ts';

const RUNS = { seed: 20_261_122, numRuns: 1_500 } as const;

const selector = { requirements: [{ key: 'k8s:app', operator: 'in' as const, values: ['web'] }], localCluster: true };
const document: PolicyDocument = {
  irVersion: 1,
  kind: 'CiliumNetworkPolicy',
  namespace: 'a',
  name: 'p',
  revision: 2,
  mode: 'enforce',
  blocks: [
    {
      spec: 0,
      tier: 'normal',
      priority: 0,
      direction: 'ingress',
      subject: { kind: 'endpoints', selector },
      isolates: true,
      rules: [
        {
          id: 9,
          index: 0,
          section: 'ingress',
          action: 'allow',
          peers: [
            { kind: 'endpoints', selector },
            { kind: 'cidr', cidr: '10.0.0.0/8', except: [], matchesPods: false },
            { kind: 'fqdn', name: { kind: 'pattern', value: '*.example' } },
          ],
          ports: [{ ports: [{ kind: 'range', protocol: 'TCP', first: 1, last: 2 }], l7: { kind: 'http', mode: 'hard', rules: [{ path: '/a' }] } }],
        },
      ],
    },
  ],
};

/** Every place in the document, as a path of keys. */
function paths(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => paths(inner, [...path, key]))];
}

function replacedAt(value: unknown, [key, ...rest]: readonly (string | number)[], replacement: unknown): unknown {
  if (key === undefined) return replacement;
  const copy: unknown = Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) };
  Reflect.set(copy as object, key, replacedAt(Reflect.get(value as object, key), rest, replacement));
  return copy;
}

test('a damaged IR is refused with a pointer or read to something that reads back the same', { timeout: 60_000 }, () => {
  const set = createPolicySet([document]);
  const replacement = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('__proto__', 'any', '10.0.0.0/33', '(', -1, 2 ** 33, null),
    fc.constant(JSON.parse('{"__proto__":{"polluted":1},"kind":"any"}')),
  );
  let refused = 0;
  fc.assert(
    fc.property(fc.constantFrom(...paths(set)), replacement, (path, value) => {
      try {
        const read = decodePolicySet(replacedAt(set, path, value));
        expect(decodePolicySet(JSON.parse(JSON.stringify(read)))).toEqual(read);
      } catch (error) {
        refused++;
        if (!isDomainError(error, 'request.invalid')) throw error;
      }
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
    }),
    RUNS,
  );
  expect(refused).toBeGreaterThan(RUNS.numRuns / 2);
});
