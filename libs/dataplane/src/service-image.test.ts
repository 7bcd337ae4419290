import type { AddressClass, L7RuleSet, ResolvedNode } from '@palisade/policy';
import { describe, expect, it } from 'vitest';
import { SERVICE, SERVICE_KEY } from './abi/layouts.ts';
import type { ServiceAddress } from './local-endpoint.ts';
import { networkNumber } from './network-number.ts';
import { serviceKey, serviceRows } from './service-image.ts';

const WEB: ServiceAddress = { network: 'default', address: '10.96.0.1', port: 80, protocol: 6 };
const ADDRESSES: readonly AddressClass[] = [1, 2, 3, 4, 5, 6].map((last) => ({ network: 'default', cidr: `10.0.0.${last}/32`, peerClass: last < 3 ? 7 : 10 + last, identity: 100 }));
const backends = (...lasts: number[]): NonNullable<ServiceAddress['backends']> => lasts.map((last) => ({ address: `10.0.0.${last}`, port: 8080 }));
const HTTP: readonly L7RuleSet[] = [{ mode: 'hard', http: [{ path: '/', ruleId: 1 }] }];
const valueOf = (service: ServiceAddress, l7Rules = HTTP) => {
  const resolved: ResolvedNode = { node: 'n', policyRevision: 1, identityRevision: 1, endpoints: [], addresses: ADDRESSES, fqdn: { selectors: [], classes: [] }, l7Rules, rules: {}, digest: '' };
  const [row] = serviceRows([service], resolved);
  return SERVICE.decode(row?.value ?? new Uint8Array());
};

describe('what the kernel is told of services', () => {
  it('makes keys as specific as the service is named', () => {
    const length = (service: ServiceAddress): number => SERVICE_KEY.decode(serviceKey(service)).length;
    expect(length(WEB)).toBe(192);
    expect(length({ network: 'n', address: '10.96.0.1', protocol: 6 })).toBe(168);
    expect(length({ network: 'n', address: '10.96.0.1' })).toBe(160);
    expect(length({ network: 'n', address: '10.96.0.0/12' })).toBe(140);
    expect(SERVICE_KEY.decode(serviceKey({ network: 'n', address: 'fd00::1', port: 80, protocol: 6 }))).toMatchObject({ network: networkNumber('n'), port_be: 0x5000 });
  });
  it('takes one backend of each peer class and port', () => {
    const value = valueOf({ ...WEB, backends: [...backends(1, 2, 3), { address: '10.0.0.2', port: 9090 }] });
    expect([value.kinds, value.more, value.port]).toEqual([3, 0, [8080, 8080, 9090, 0]]);
    expect([...value.address.slice(0, 4)]).toEqual([10, 0, 0, 1]);
    expect([...value.address.slice(16, 20)]).toEqual([10, 0, 0, 3]);
  });
  it('says when there are more kinds than it can tell', () => {
    expect(valueOf({ ...WEB, backends: backends(1, 3, 4, 5) })).toMatchObject({ kinds: 4, more: 0 });
    expect(valueOf({ ...WEB, backends: backends(1, 3, 4, 5, 6) })).toMatchObject({ kinds: 4, more: 1 });
  });
  it('takes backends without an address class of their own as they are, and nothing where none is known', () => {
    expect(valueOf({ ...WEB, backends: backends(90, 91) })).toMatchObject({ kinds: 2, more: 0 });
    expect(valueOf(WEB)).toMatchObject({ kinds: 0, more: 0 });
    expect(valueOf({ ...WEB, address: '10.96.0.0/12' })).toMatchObject({ kinds: 0 });
  });
  it('tells no backends where nothing asks for them: no rules on content, no resolver', () => {
    expect(valueOf({ ...WEB, backends: backends(1) }, [])).toMatchObject({ kinds: 0 });
    expect(valueOf({ ...WEB, port: 53, protocol: 17, backends: backends(1) }, [])).toMatchObject({ kinds: 1 });
  });
});
