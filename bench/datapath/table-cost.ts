/** What user space pays: loading policies, reading connections, draining events, switching generations. */

import { CONNECTION, CONNECTION_KEY4, POLICY_ENTRY, POLICY_KEY, type KernelPort } from '@palisade/dataplane';
import { PacketLab } from '../../apps/agent/src/enforcer/testing/packet-lab.ts';
import { frame, ipv4, tcp } from '../../apps/agent/src/enforcer/testing/packet.ts';
import { entry, resolvedNode } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';

export interface TableCosts {
  readonly load_100k_ms: number;
  readonly read_100k_ms: number;
  readonly generation_swap_1000_ms: number;
  /** Of one core, for 200,000 events a second, decoded to objects. */
  readonly drain_core_pct: number;
}

const ENTRIES = 100_000;

function elapsed(work: () => void): number {
  const start = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function loadEntries(kernel: KernelPort): number {
  const keys = new Uint8Array(ENTRIES * POLICY_KEY.size);
  for (let at = 0; at < ENTRIES; at += 1) POLICY_KEY.encode({ peer_class: 1000 + at, protocol: 6, port: 80, scope: 0x90 }, keys, at * POLICY_KEY.size);
  const map = kernel.createMap({ name: 'bench', type: 'hash', keySize: POLICY_KEY.size, valueSize: POLICY_ENTRY.size, maxEntries: ENTRIES, noPreallocation: true });
  const ms = elapsed(() => kernel.updateBatch(map, keys, new Uint8Array(ENTRIES * POLICY_ENTRY.size), ENTRIES));
  kernel.close(map);
  return ms;
}

function readConnections(lab: PacketLab): number {
  const map = lab.map('connections4');
  const keys = new Uint8Array(ENTRIES * CONNECTION_KEY4.size);
  for (let at = 0; at < ENTRIES; at += 1) CONNECTION_KEY4.encode({ low: at, high: 1, slot: 1, protocol: 6 }, keys, at * CONNECTION_KEY4.size);
  lab.kernel.updateBatch(map, keys, new Uint8Array(ENTRIES * CONNECTION.size), ENTRIES);
  const ms = elapsed(() => lab.kernel.readAll(map));
  lab.forget();
  lab.kernel.close(map);
  return ms;
}

async function swapGeneration(lab: PacketLab): Promise<number> {
  const endpoints = Array.from({ length: 1000 }, (_, at) => ({
    key: `pod/bench/${at}`, slot: at + 1, attach: { kind: 'interface' as const, ifname: `none${at}` }, network: 'default', addresses: [],
  }));
  const times: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const policies = Object.fromEntries(endpoints.map(({ key }, at) => [key, [entry('egress', 0, 6, 1 + ((at + round) % 50), 'deny', 1)]]));
    const start = process.hrtime.bigint();
    await lab.applyNode(resolvedNode(policies, []), { endpoints });
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  return Math.min(...times);
}

async function drainEvents(lab: PacketLab): Promise<number> {
  await lab.apply([entry('egress', 0, 0, 0, 'deny', 1)], []);
  const denied = frame(ipv4({ from: '10.1.0.1', to: '10.2.0.2' }, 6, tcp(1000, 81)));
  let events = 0;
  let cpuMicroseconds = 0;
  for (let round = 0; round < 10; round += 1) {
    lab.cost('from_endpoint', denied, 20_000);
    const start = process.cpuUsage();
    events += (await lab.events()).length;
    const used = process.cpuUsage(start);
    cpuMicroseconds += used.user + used.system;
  }
  return (cpuMicroseconds / events) * 200_000 / 10_000;
}

export async function measureTables(): Promise<TableCosts> {
  const lab = new PacketLab();
  try {
    await lab.apply([], []);
    return {
      load_100k_ms: Math.min(loadEntries(lab.kernel), loadEntries(lab.kernel), loadEntries(lab.kernel)),
      read_100k_ms: Math.min(readConnections(lab), readConnections(lab)),
      generation_swap_1000_ms: await swapGeneration(lab),
      drain_core_pct: await drainEvents(lab),
    };
  } finally {
    await lab.remove();
  }
}
