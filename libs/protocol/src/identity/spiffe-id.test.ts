import { describe, expect, it } from 'vitest';
import { formatNodeSpiffeId, nodeIdentityOfSubjectAltName, parseNodeSpiffeId } from './spiffe-id.ts';

const identity = { trustDomain: 'palisade.test', tenantId: 't-1', clusterId: 'c-1', nodeId: 'n-1' };
const text = 'spiffe://palisade.test/tenant/t-1/cluster/c-1/node/n-1';

describe('SPIFFE ids of nodes', () => {
  it('are written and read back', () => {
    expect(formatNodeSpiffeId(identity)).toBe(text);
    expect(parseNodeSpiffeId(text)).toEqual(identity);
  });

  it.each([
    ['a slash inside a part', `${text}/x`],
    ['an empty part', 'spiffe://palisade.test/tenant//cluster/c/node/n'],
    ['another scheme', text.replace('spiffe', 'https')],
    ['an upper-case trust domain', text.replace('palisade', 'Palisade')],
    ['a query', `${text}?a=b`],
    ['a line break', `${text}\n`],
  ])('are refused with %s', (_what, id) => {
    expect(() => parseNodeSpiffeId(id)).toThrow(expect.objectContaining({ code: 'request.invalid' }));
  });

  it('are taken only from a certificate that names exactly one URI', () => {
    expect(nodeIdentityOfSubjectAltName(`URI:${text}`)).toEqual(identity);
    expect(() => nodeIdentityOfSubjectAltName(`URI:${text}, URI:spiffe://x/y`)).toThrow();
    expect(() => nodeIdentityOfSubjectAltName(undefined)).toThrow();
  });

  it('cannot be forged through a part', () => {
    expect(() => formatNodeSpiffeId({ ...identity, nodeId: 'n/../../tenant/t-2' })).toThrow();
  });
});
