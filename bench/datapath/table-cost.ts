/** What user space pays: loading policies, reading connections, draining events, switching generations. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONNECTION, CONNECTION_KEY4, POLICY_ENTRY, POLICY_KEY, type Descriptor, type KernelPort } from '@palisade/dataplane';
import { PacketLab } from '../../apps/agent/src/enforcer/testing/packet-lab.ts';
import { frame, ipv4, tcp } from '../../apps/agent/src/enforcer/testing/packet.ts';
import { FlowExporter } from '../../apps/agent/src/flows/flow-exporter.ts';
import { KNOWLEDGE } from '../../apps/agent/src/flows/testing/kernel-events.ts';
import { entry, resolvedNode } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';
import { FRESH_PROGRAM, loadFreshTuples } from './fresh-tuples.ts';

export interface TableCosts {
  readonly load_100k_ms: number;
  readonly read_100k_ms: number;
  readonly generation_swap_1000_ms: number;
  /** The agent's own way to 100,000 connections that moved: the walk inside the kernel, and its events read. */
  readonly export_100k_ms: number;
  /** Of one core, for 200,000 events a second: out of the ring, sequence checked, each row looked at. */
  readonly drain_core_pct: number;
  /** The same through the whole flow path: sampled to the budget, named, encoded, written to disk. */
  readonly flow_path_core_pct: number;
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

function fillConnections(lab: PacketLab): Descriptor {
  const map = lab.map('connections4');
  const keys = new Uint8Array(ENTRIES * CONNECTION_KEY4.size);
  const values = new Uint8Array(ENTRIES * CONNECTION.size);
  const now = lab.kernel.monotonicNs();
  for (let at = 0; at < ENTRIES; at += 1) {
    CONNECTION_KEY4.encode({ low: at, high: 1, slot: 1, protocol: 6 }, keys, at * CONNECTION_KEY4.size);
    CONNECTION.encode({ last_seen_ns: now, first_seen_ns: now, packets: [3n, 2n], bytes: [300n, 200n], verdict: 1, state: 1, protocol: 6 }, values, at * CONNECTION.size);
  }
  lab.kernel.updateBatch(map, keys, values, ENTRIES);
  return map;
}

function readConnections(lab: PacketLab): number {
  const map = fillConnections(lab);
  const ms = elapsed(() => lab.kernel.readAll(map));
  lab.forget();
  lab.kernel.close(map);
  return ms;
}

async function exportConnections(lab: PacketLab): Promise<number> {
  lab.kernel.close(fillConnections(lab));
  const agent = lab.exporter();
  const start = process.hrtime.bigint();
  let told = 0;
  for (const batch of await agent.drainBatches(1_000_000)) told += batch.count;
  const ms = Number(process.hrtime.bigint() - start) / 1e6;
  await agent.close();
  lab.forget();
  if (told < ENTRIES) throw new Error(`only ${told} of ${ENTRIES} connections were told`);
  return ms;
}

async function swapGeneration(lab: PacketLab): Promise<number> {
  const endpoints = Array.from({ length: 1000 }, (_, at) => ({
    key: `pod/bench/${at}`, slot: at + 1, attach: { kind: 'interface' as const, ifname: `none${at}` }, network: 'default', addresses: [],
  }));
  const times: number[] = [];
  for (let round = 0; round < 10; round += 1) {
    const policies = Object.fromEntries(endpoints.map(({ key }, at) => [key, [entry('egress', 0, 6, 1 + ((at + round) % 50), 'deny', 1)]]));
    const desired = lab.desired(resolvedNode(policies, []), { endpoints });
    const start = process.hrtime.bigint();
    await lab.enforcer.apply(desired);
    times.push(Number(process.hrtime.bigint() - start) / 1e6);
  }
  return Math.min(...times);
}

const PER_SECOND = 200_000;
const BURST = 20_000;

/** Processor time in microseconds. */
async function processorTime(work: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const used = process.cpuUsage(start);
  return used.user + used.system;
}

/** One event of each new connection, in bursts that fit the ring; `take` is what is measured, a second's worth at a time. */
async function secondOfEvents(lab: PacketLab, take: () => Promise<void>): Promise<number> {
  let used = 0;
  const packet = frame(ipv4({ from: '10.1.0.1', to: '10.2.0.2' }, 6, tcp(1000, 80)));
  for (let done = 0; done < PER_SECOND; done += BURST) {
    lab.forget();
    lab.cost(FRESH_PROGRAM, packet, BURST);
    used += await processorTime(take);
  }
  return used;
}

async function drainCost(lab: PacketLab): Promise<Pick<TableCosts, 'drain_core_pct' | 'flow_path_core_pct'>> {
  await lab.apply([], []);
  loadFreshTuples(lab);
  const folder = mkdtempSync(join(tmpdir(), 'palisade-bench-'));
  const exporter = new FlowExporter({ events: lab.enforcer, knowledge: () => KNOWLEDGE, folder });
  let seen = 0;
  const look = async (): Promise<void> => {
    for (const batch of await lab.enforcer.drainBatches(BURST)) {
      for (let row = 0; row < batch.count; row += 1) seen += batch.isRepeat(row) || !batch.isPlain(row) ? 0 : 1;
    }
  };
  const path = async (): Promise<void> => {
    while (await exporter.drain());
  };
  try {
    const drains: number[] = [];
    const paths: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      drains.push(await secondOfEvents(lab, look));
      paths.push((await secondOfEvents(lab, path)) + (await processorTime(() => exporter.flush())));
    }
    if (seen !== 4 * PER_SECOND) throw new Error(`${seen} of ${4 * PER_SECOND} events were read`);
    return { drain_core_pct: Math.min(...drains) / 10_000, flow_path_core_pct: Math.min(...paths) / 10_000 };
  } finally {
    exporter.close();
    rmSync(folder, { recursive: true });
  }
}

export async function measureTables(): Promise<TableCosts> {
  const lab = new PacketLab();
  try {
    await lab.apply([], []);
    return {
      load_100k_ms: Math.min(loadEntries(lab.kernel), loadEntries(lab.kernel), loadEntries(lab.kernel)),
      read_100k_ms: Math.min(readConnections(lab), readConnections(lab), readConnections(lab)),
      export_100k_ms: Math.min(await exportConnections(lab), await exportConnections(lab), await exportConnections(lab)),
      ...(await drainCost(lab)),
      generation_swap_1000_ms: await swapGeneration(lab),
    };
  } finally {
    await lab.remove();
  }
}
