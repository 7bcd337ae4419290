import { ENDPOINT_COUNTERS, type KernelPort } from '@palisade/dataplane';
import type { ObservedRow } from './endpoint-rows.ts';
import type { DatapathCounters } from './enforcer.ts';
import { rowKey, type MapSet } from './map-set.ts';

type PacketCounters = Pick<DatapathCounters, 'forwardedPackets' | 'droppedPackets' | 'auditedPackets' | 'perEndpoint'>;

/** Packets since the endpoints were attached, added over all processors. */
export function readCounters(kernel: KernelPort, maps: MapSet, endpoints: readonly ObservedRow[]): PacketCounters {
  const total = { forwardedPackets: 0n, droppedPackets: 0n, auditedPackets: 0n };
  const perEndpoint = endpoints.map(({ slot, key }) => {
    const one = { forwardedPackets: 0n, droppedPackets: 0n };
    const values = kernel.lookup(maps.map('endpoint_counters'), rowKey(slot)) ?? new Uint8Array();
    for (let at = 0; at < values.length; at += ENDPOINT_COUNTERS.size) {
      const counters = ENDPOINT_COUNTERS.decode(values, at);
      one.forwardedPackets += counters.forwarded_packets;
      one.droppedPackets += counters.dropped_packets;
      total.auditedPackets += counters.audited_packets;
    }
    total.forwardedPackets += one.forwardedPackets;
    total.droppedPackets += one.droppedPackets;
    return { key, ...one };
  });
  return { ...total, perEndpoint };
}
