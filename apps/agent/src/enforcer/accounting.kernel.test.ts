import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CONTROL, ENDPOINT_COUNTERS, type KernelFlowEvent } from '@palisade/dataplane';
import { afterEach, describe, expect, it } from 'vitest';
import type { Enforcer } from './enforcer.ts';
import { rowKey } from './map-set.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, frame, ipv4, ipv6, tcp, udp } from './testing/packet.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const OUT = { from: '10.1.0.1', to: '10.2.0.2' };
const IN = { from: OUT.to, to: OUT.from };
const OUT6 = { from: 'fd01::1', to: 'fd02::2' };
const POLICY = [entry('egress', 0, 0, 0, 'deny', 1), entry('egress', 0, PROTOCOL.tcp, 80, 'allow', 2), entry('ingress', 0, 0, 0, 'deny', 3)];
const SIZE = 2048;

/** Events are numbered by processor, and a gap shows with the next one of the same: test runs happen where their caller is. */
async function onOneProcessor<T>(work: () => Promise<T>): Promise<T> {
  const allowed = /^Cpus_allowed_list:\s+(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const pin = (processors: string): string => execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', processors, String(process.pid)], { encoding: 'utf8' });
  pin(/^\d+/.exec(allowed)?.[0] ?? '0');
  try {
    return await work();
  } finally {
    pin(allowed);
  }
}

describe.skipIf(unavailable)('what the kernel tells', () => {
  let lab: PacketLab;
  let agent: Enforcer;

  async function open(maxEntries: Readonly<Record<string, number>> = {}): Promise<void> {
    lab = new PacketLab(maxEntries);
    await lab.apply(POLICY, []);
    agent = lab.exporter();
  }
  afterEach(async () => {
    await agent.close();
    await lab.remove();
  });

  const out = (segment: Uint8Array): boolean => lab.sends(frame(ipv4(OUT, PROTOCOL.tcp, segment)));
  const back = (segment: Uint8Array): boolean => lab.receives(frame(ipv4(IN, PROTOCOL.tcp, segment)));
  const told = (): Promise<readonly KernelFlowEvent[]> => agent.drain(1_000_000);
  const sum = (events: readonly KernelFlowEvent[], pick: (event: KernelFlowEvent) => bigint): bigint => events.reduce((total, event) => total + pick(event), 0n);

  /** The endpoint's counters over all processors. */
  function totals(): Record<'forwarded_packets' | 'dropped_packets' | 'untracked_packets' | 'told_packets' | 'told_drops', bigint> {
    const map = lab.map('endpoint_counters');
    const values = lab.kernel.lookup(map, rowKey(1)) ?? new Uint8Array();
    lab.kernel.close(map);
    const all = { forwarded_packets: 0n, dropped_packets: 0n, untracked_packets: 0n, told_packets: 0n, told_drops: 0n };
    for (let at = 0; at < values.length; at += ENDPOINT_COUNTERS.size) {
      const one = ENDPOINT_COUNTERS.decode(values, at);
      for (const name of Object.keys(all) as (keyof typeof all)[]) all[name] += one[name];
    }
    return all;
  }

  /** How many walks over the tables have begun. */
  function walks(): number {
    const map = lab.map('control');
    const control = CONTROL.decode(lab.kernel.lookup(map, rowKey(0)) ?? new Uint8Array(CONTROL.size));
    lab.kernel.close(map);
    return control.export_epoch;
  }

  it('walks over empty tables once, until a connection or a denial comes', async () => {
    await open();
    await told();
    const idle = walks();
    await told();
    expect(walks()).toBe(idle);
    for (let packet = 0; packet < 3; packet += 1) out(tcp(1001, 81));
    expect((await told()).map(({ event, packets }) => [event, packets])).toEqual([['dropped', 1n], ['dropped', 2n]]);
    out(tcp(1000, 80));
    back(tcp(80, 1000, TCP.syn | TCP.ack));
    expect((await told()).map(({ event, replyPackets }) => [event, replyPackets])).toEqual([['new', 0n], ['delta', 1n]]);
    expect(walks()).toBe(idle + 2);
  });

  describe('of denials', () => {
    it('is an event for the first packet and a count for those after it, per tuple and verdict', async () => {
      await open();
      for (let packet = 0; packet < 50; packet += 1) out(tcp(1000, 81));
      out(tcp(1001, 81));
      for (let packet = 0; packet < 3; packet += 1) lab.sends(frame(ipv6(OUT6, PROTOCOL.udp, udp(7, 9))));
      const first = await lab.enforcer.drain(1_000);
      expect(first.map(({ event, sourcePort, packets }) => [event, sourcePort, packets])).toEqual([['dropped', 1000, 1n], ['dropped', 1001, 1n], ['dropped', 7, 1n]]);
      const later = await told();
      expect(later.map(({ event, sourcePort, packets, bytes, ruleId, dropReason }) => ({ event, sourcePort, packets, bytes, ruleId, dropReason }))).toEqual(expect.arrayContaining([
        { event: 'dropped', sourcePort: 1000, packets: 49n, bytes: 49n * 54n, ruleId: 1, dropReason: 1 },
        { event: 'dropped', sourcePort: 7, packets: 2n, bytes: 2n * 66n, ruleId: 1, dropReason: 1 },
      ]));
      expect(later).toHaveLength(2);
      expect(await told()).toEqual([]);
      expect(totals()).toMatchObject({ dropped_packets: 54n, told_drops: 54n });
    });
    it('names the policy generation under which they were denied', async () => {
      await open();
      out(tcp(1000, 81));
      await lab.enforcer.apply(lab.desired(resolvedNode({ 'pod/lab/subject': [entry('egress', 0, 0, 0, 'deny', 5)] }, [], 9)));
      out(tcp(1000, 81));
      const events = (await told()).filter(({ event }) => event === 'dropped');
      expect(events.map(({ ruleId }) => ruleId)).toEqual([1, 5]);
      expect(new Set(events.map(({ datapathGeneration }) => datapathGeneration)).size).toBe(2);
    });
    it('becomes an event for every packet when the table is full, and loses none', async () => {
      await open({ denials: 8 });
      for (let round = 0; round < 3; round += 1) for (let port = 1; port <= 100; port += 1) out(tcp(port, 81));
      expect(sum(await told(), ({ packets }) => packets)).toBe(300n);
      expect((await agent.counters()).losses).toMatchObject({ ringFull: 0n, sequenceGaps: 0n, untoldPackets: 0n });
    });
  });

  describe('of connections', () => {
    it('adds up to what was forwarded', async () => {
      await open();
      for (let port = 1000; port < 1100; port += 1) {
        out(tcp(port, 80));
        back(tcp(80, port, TCP.syn | TCP.ack));
        out(tcp(port, 80, TCP.ack));
      }
      const events = [...(await told()), ...(await told())];
      expect(sum(events, ({ packets }) => packets)).toBe(200n);
      expect(sum(events, ({ replyPackets }) => replyPackets)).toBe(100n);
      expect(totals()).toMatchObject({ forwarded_packets: 300n, untracked_packets: 0n, told_packets: 300n });
    });
    it('says how long the handshake took, and nothing where a SYN was sent twice', async () => {
      await open();
      for (const [port, attempts] of [[1000, 1], [1001, 2]] as const) {
        for (let attempt = 0; attempt < attempts; attempt += 1) out(tcp(port, 80));
        back(tcp(80, port, TCP.syn | TCP.ack));
        out(tcp(port, 80, TCP.ack));
      }
      const rtt = new Map((await told()).filter(({ event }) => event === 'delta').map(({ sourcePort, rttUs }) => [sourcePort, rttUs]));
      expect(rtt.get(1000)).toBeGreaterThan(0);
      expect(rtt.get(1001)).toBe(0);
    });
    it('counts those that an overfull table has lost, with the packets that nothing tells any more', async () => {
      await open({ connections4: SIZE });
      await told();
      // Each gets an event when it begins, and two packets that only an export would tell.
      const many = SIZE * 4;
      for (let at = 0; at < many; at += 1) {
        out(tcp(1 + at, 80));
        back(tcp(80, 1 + at, TCP.syn | TCP.ack));
        if (at % 500 === 499) await lab.enforcer.drain(10_000);
      }
      await told();
      const { losses } = await agent.counters();
      expect(losses.evicted).toBeGreaterThan(BigInt(SIZE));
      const { forwarded_packets: forwarded, told_packets: reported, untracked_packets: untracked } = totals();
      expect(losses.untoldPackets).toBe(forwarded - untracked - reported);
      expect(losses.untoldPackets).toBeGreaterThanOrEqual(losses.evicted);
      expect(losses.ringFull).toBe(0n);
    }, 120_000);
    it('counts events that the ring had no room for, and the numbers that are missing agree', async () => {
      await open({ events: 4096 });
      await told();
      const { events } = await onOneProcessor(async () => {
        for (let port = 1; port <= 200; port += 1) out(tcp(port, 80));
        const kept = (await told()).filter(({ event }) => event === 'new');
        for (let port = 201; port <= 210; port += 1) out(tcp(port, 80));
        await told();
        return { events: kept };
      });
      const { losses } = await agent.counters();
      expect(losses.ringFull).toBe(BigInt(200 - events.length));
      expect(losses.ringFull).toBeGreaterThan(0n);
      expect(losses.sequenceGaps).toBe(losses.ringFull);
      // The counters stayed in the table, so that the export told them all the same.
      expect(totals()).toMatchObject({ forwarded_packets: 210n, told_packets: 210n });
    });
  });
});
