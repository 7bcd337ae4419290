import type { NetworkInterface } from '@palisade/dataplane';
import { describe, expect, it } from 'vitest';
import { Arrivals, coverageGap } from './coverage.ts';

const one = (name: string, kind: string, index = 1): NetworkInterface => ({ index, name, kind, peer: 0, peerNamespace: -1 });

describe('what the hooks would miss', () => {
  it.each(['ipvlan', 'macvlan', 'macvtap', 'ipvtap', 'netkit'])('is said of a %s', (kind) => {
    expect(coverageGap('eth7', [one('eth7', kind)])).toMatch(/^eth7 cannot be enforced: .*; give the workload a veth$/);
  });
  it.each(['veth', '', 'tun', 'dummy'])('is nothing of kind "%s"', (kind) => {
    expect(coverageGap('eth7', [one('eth7', kind), one('other', 'macvlan', 2)])).toBeUndefined();
  });
  it('is every veth on a node where Cilium delivers past it', () => {
    expect(coverageGap('lxc1', [one('lxc1', 'veth'), one('cilium_host', 'veth', 2)])).toMatch(/bpf_redirect_peer/);
  });
});

describe('the time without a program', () => {
  it('runs from the news of an interface to its attachment, and is unknown for what was there before', () => {
    let now = 1_000_000n;
    const arrivals = new Arrivals(() => now);
    arrivals.look([one('old', 'veth', 1)]);
    now = 5_000_000n;
    arrivals.look([one('old', 'veth', 1), one('new', 'veth', 2)]);
    now = 7_500_000n;
    for (const index of [1, 2]) arrivals.attached(index);
    now = 9_000_000n;
    arrivals.attached(2); // programs that were replaced
    expect([arrivals.unprotectedMs(1), arrivals.unprotectedMs(2)]).toEqual([undefined, 2.5]);
  });
  it('starts anew when an index is used again', () => {
    let now = 0n;
    const arrivals = new Arrivals(() => now);
    arrivals.look([]);
    arrivals.look([one('a', 'veth', 7)]);
    arrivals.attached(7);
    arrivals.look([]);
    now = 1_000_000n;
    arrivals.look([one('b', 'veth', 7)]);
    expect(arrivals.unprotectedMs(7)).toBeUndefined();
    now = 4_000_000n;
    arrivals.attached(7);
    expect(arrivals.unprotectedMs(7)).toBe(3);
  });
});
