/** Nanoseconds a program spends on one packet, by BPF_PROG_TEST_RUN and the kernel's own run-time statistics. */

import { readFileSync, writeFileSync } from 'node:fs';
import { PacketLab } from '../../apps/agent/src/enforcer/testing/packet-lab.ts';
import { segment } from '../../apps/agent/src/enforcer/testing/http-packet.ts';
import { TCP, frame, ipv4, ipv6, tcp } from '../../apps/agent/src/enforcer/testing/packet.ts';
import { policyOf } from './configurations.ts';

const OUT = { from: '10.1.0.1', to: '10.2.0.2' };
const OUT6 = { from: 'fd01::1', to: 'fd02::2' };
const SERVER = 900_001;
const STATISTICS = '/proc/sys/kernel/bpf_stats_enabled';

function best(measure: () => number, times: number): number {
  return Math.min(...Array.from({ length: times }, measure));
}

export interface ProgramCosts {
  readonly harness_ns: number;
  readonly established_ns: number;
  readonly v6_established_ns: number;
  readonly new_ns: number;
  readonly deny_ns: number;
  /** The segment of an HTTP request: method, path and host are read and kept. */
  readonly http_ns: number;
  /** A segment with payload of a connection that is found to speak something else. */
  readonly payload_ns: number;
}

/** Costs net of the harness (the same run on an interface that is no endpoint), with 100,000 policy entries. */
export async function measurePrograms(repeat: number): Promise<ProgramCosts> {
  const lab = new PacketLab();
  try {
    const addresses = [{ cidr: `${OUT.to}/32`, peerClass: SERVER, identity: 1000 }, { cidr: `${OUT6.to}/128`, peerClass: SERVER, identity: 1000 }];
    await lab.apply(policyOf(100_000), addresses, { endpoints: [] });
    const segment = tcp(1000, 5000, TCP.ack);
    const packet4 = frame(ipv4(OUT, 6, segment));
    const packet6 = frame(ipv6(OUT6, 6, segment));
    const harness = best(() => lab.cost('from_endpoint', packet4, repeat), 5);
    await lab.apply(policyOf(100_000), addresses);
    lab.sends(packet4);
    lab.sends(packet6);
    const established = best(() => lab.cost('from_endpoint', packet4, repeat), 5) - harness;
    const established6 = best(() => lab.cost('from_endpoint', packet6, repeat), 5) - harness;
    const denied = frame(ipv4(OUT, 6, tcp(1000, 81)));
    const denials: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      await lab.events();
      denials.push(lab.cost('from_endpoint', denied, 20_000));
    }
    return { harness_ns: harness, established_ns: established, v6_established_ns: established6, new_ns: await newConnection(lab), deny_ns: Math.min(...denials) - harness, ...(await http(lab, harness, repeat)) };
  } finally {
    await lab.remove();
  }
}

const REQUEST = 'GET /api/v1/orders HTTP/1.1\r\nHost: orders.shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n';

/** A request is read once per connection here, so each is a run of its own; the payload of other connections repeats. */
async function http(lab: PacketLab, harness: number, repeat: number): Promise<Pick<ProgramCosts, 'http_ns' | 'payload_ns'>> {
  const before = readFileSync(STATISTICS, 'utf8');
  const other = frame(ipv4(OUT, 6, segment(40_000, 5000, 2, '\0\0\0\x05other protocol')));
  lab.sends(frame(ipv4(OUT, 6, tcp(40_000, 5000))));
  lab.sends(other);
  const payload = best(() => lab.cost('from_endpoint', other, repeat), 5) - harness;
  writeFileSync(STATISTICS, '1');
  try {
    const rounds: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      lab.forget();
      for (let port = 2000; port < 8000; port += 1) lab.sends(frame(ipv4(OUT, 6, tcp(port, 5000))));
      await lab.events();
      const start = lab.kernel.programInfo(lab.program('from_endpoint'));
      for (let port = 2000; port < 8000; port += 1) lab.sends(frame(ipv4(OUT, 6, segment(port, 5000, 2, REQUEST))));
      const end = lab.kernel.programInfo(lab.program('from_endpoint'));
      rounds.push((end.runTimeNs - start.runTimeNs) / (end.runCount - start.runCount));
    }
    return { http_ns: Math.round(Math.min(...rounds)), payload_ns: payload };
  } finally {
    writeFileSync(STATISTICS, before);
  }
}

/** Every packet opens a connection, so each is a run of its own; the kernel counts the time in the program. */
async function newConnection(lab: PacketLab): Promise<number> {
  const before = readFileSync(STATISTICS, 'utf8');
  writeFileSync(STATISTICS, '1');
  try {
    const rounds: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      lab.forget();
      await lab.events();
      const start = lab.kernel.programInfo(lab.program('from_endpoint'));
      for (let port = 2000; port < 12_000; port += 1) lab.sends(frame(ipv4(OUT, 6, tcp(port, 5000))));
      const end = lab.kernel.programInfo(lab.program('from_endpoint'));
      rounds.push((end.runTimeNs - start.runTimeNs) / (end.runCount - start.runCount));
    }
    return Math.round(Math.min(...rounds));
  } finally {
    writeFileSync(STATISTICS, before);
  }
}
