import { describe, expect, it } from 'vitest';
import { scopeContains, scopeHasCluster, scopeHasNamespace, WHOLE_TENANT, type Scope } from './scope.ts';
import { parseTenantId } from './tenant-id.ts';

const shop: Scope = { clusters: ['c1'], namespaces: ['shop'] };

describe('a scope', () => {
  it('holds what it lists, and everything only when it says so', () => {
    expect([scopeHasCluster(shop, 'c1'), scopeHasCluster(shop, 'c2'), scopeHasCluster(WHOLE_TENANT, 'c2')]).toEqual([true, false, true]);
    expect([scopeHasNamespace(shop, 'shop'), scopeHasNamespace(shop, 'bank')]).toEqual([true, false]);
  });

  it('that is empty holds nothing', () => {
    expect([scopeHasCluster({ clusters: [], namespaces: [] }, 'c1'), scopeHasNamespace({ clusters: [], namespaces: [] }, 'shop')]).toEqual([false, false]);
  });

  it('of some namespaces does not hold cluster-wide objects', () => {
    expect([scopeHasNamespace(shop, undefined), scopeHasNamespace(WHOLE_TENANT, undefined)]).toEqual([false, true]);
  });

  it('contains only narrower scopes', () => {
    expect(scopeContains(WHOLE_TENANT, shop)).toBe(true);
    expect(scopeContains(shop, WHOLE_TENANT)).toBe(false);
    expect(scopeContains(shop, { clusters: ['c1'], namespaces: [] })).toBe(true);
    expect(scopeContains(shop, { clusters: ['c1'], namespaces: 'all' })).toBe(false);
  });
});

describe('parseTenantId', () => {
  it('takes UUIDs in any case and nothing else', () => {
    expect(parseTenantId('0198C0DE-0000-7000-8000-000000000000')).toBe('0198c0de-0000-7000-8000-000000000000');
    for (const text of ['', 'x', "0198c0de-0000-7000-8000-000000000000'; --", '0198c0de00007000800000000000000']) {
      expect(() => parseTenantId(text)).toThrowError(expect.objectContaining({ code: 'request.invalid' }));
    }
  });
});
