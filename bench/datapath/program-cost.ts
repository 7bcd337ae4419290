/** Nanoseconds a program spends on one packet, by BPF_PROG_TEST_RUN, net of the harness. */

import { readFileSync, writeFileSync } from 'node:fs';
import { segment as httpSegment } from '../../apps/agent/src/enforcer/testing/http-packet.ts';
import { PacketLab } from '../../apps/agent/src/enforcer/testing/packet-lab.ts';
import { TCP, frame, ipv4, ipv6, tcp } from '../../apps/agent/src/enforcer/testing/packet.ts';
import { entry, resolvedNode } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';
import { policyOf } from './configurations.ts';
import { FRESH_PROGRAM, loadFreshTuples } from './fresh-tuples.ts';

const OUT = { from: '10.1.0.1', to: '10.2.0.2' };
const OUT6 = { from: 'fd01::1', to: 'fd02::2' };
const SERVER = 900_001;
const ADDRESSES = [`${OUT.to}/32`, `${OUT6.to}/128`].map((cidr) => ({ cidr, peerClass: SERVER, identity: 1000 }));
const ENDPOINT = 'pod/lab/subject';
const STATISTICS = '/proc/sys/kernel/bpf_stats_enabled';
const REQUEST = 'GET /api/v1/orders HTTP/1.1\r\nHost: orders.shop.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n';
/** Short rounds and many of them: a round that nothing interrupted is then among them also on a busy machine. */
const REPEAT = 20_000;
/** Fits the ring, which is drained between rounds: the cost of an event is in, that of a full ring is not. */
const FRESH_RUNS = 4_000;

export interface ProgramCosts {
  readonly harness_ns: number;
  readonly established_ns: number;
  readonly v6_established_ns: number;
  /** Each packet opens a connection: policy, table entry and event. */
  readonly new_ns: number;
  /** Each packet is one more of a tuple that was denied before. */
  readonly deny_ns: number;
  /** Each packet is a tuple that was never denied before: an event, and an entry while there is room. */
  readonly deny_fresh_ns: number;
  /** The segment of an HTTP request: method, path and host are read and kept. Cold caches: each is a run of its own. */
  readonly http_ns: number;
  /** The same segment under soft rules on HTTP: its whole head is judged besides. */
  readonly soft_http_ns: number;
  /** A segment with payload of a connection that is found to speak something else. */
  readonly payload_ns: number;
}

/** The least of some rounds: what the machine's other work adds is never negative. */
async function least(rounds: number, measure: () => number, between?: () => Promise<unknown>): Promise<number> {
  const costs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await between?.();
    costs.push(measure());
  }
  return Math.min(...costs);
}

/** With 100,000 policy entries. The harness is the same run on an interface that is no endpoint. */
export async function measurePrograms(rounds: number): Promise<ProgramCosts> {
  const lab = new PacketLab();
  try {
    const segment = tcp(1000, 5000, TCP.ack);
    const packet4 = frame(ipv4(OUT, 6, segment));
    const packet6 = frame(ipv6(OUT6, 6, segment));
    const opening = frame(ipv4(OUT, 6, tcp(1000, 5000)));
    const denied = frame(ipv4(OUT, 6, tcp(1000, 81)));
    const cost = (packet: Uint8Array) => (): number => lab.cost('from_endpoint', packet, REPEAT);
    const fresh = (packet: Uint8Array) => (): number => lab.cost(FRESH_PROGRAM, packet, FRESH_RUNS);
    const emptied = async (): Promise<void> => {
      lab.forget();
      await lab.events();
    };

    await lab.apply(policyOf(100_000), ADDRESSES, { endpoints: [] });
    loadFreshTuples(lab);
    const harness = await least(rounds, cost(packet4));
    const freshHarness = await least(rounds, fresh(opening));
    await lab.apply(policyOf(100_000), ADDRESSES);
    lab.sends(packet4);
    lab.sends(packet6);
    const costs = {
      harness_ns: harness,
      established_ns: (await least(rounds, cost(packet4))) - harness,
      v6_established_ns: (await least(rounds, cost(packet6))) - harness,
      deny_ns: (await least(rounds, cost(denied))) - harness,
      new_ns: (await least(rounds, fresh(opening), emptied)) - freshHarness,
      deny_fresh_ns: (await least(rounds, fresh(denied), emptied)) - freshHarness,
      ...(await httpCosts(lab, harness, rounds)),
    };
    return costs;
  } finally {
    await lab.remove();
  }
}

/** One request on each of many connections: a run of its own, which the kernel times. The least of some rounds. */
async function requestCost(lab: PacketLab): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < 4; round += 1) {
    lab.forget();
    for (let port = 2000; port < 8000; port += 1) lab.sends(frame(ipv4(OUT, 6, tcp(port, 5000))));
    await lab.events();
    const start = lab.kernel.programInfo(lab.program('from_endpoint'));
    for (let port = 2000; port < 8000; port += 1) lab.sends(frame(ipv4(OUT, 6, httpSegment(port, 5000, 2, REQUEST))));
    const end = lab.kernel.programInfo(lab.program('from_endpoint'));
    times.push((end.runTimeNs - start.runTimeNs) / (end.runCount - start.runCount));
  }
  return Math.round(Math.min(...times));
}

/** A request is read once per connection here; other payload repeats. */
async function httpCosts(lab: PacketLab, harness: number, rounds: number): Promise<Pick<ProgramCosts, 'http_ns' | 'soft_http_ns' | 'payload_ns'>> {
  const other = frame(ipv4(OUT, 6, httpSegment(40_000, 5000, 2, '\0\0\0\x05other protocol')));
  lab.sends(frame(ipv4(OUT, 6, tcp(40_000, 5000))));
  lab.sends(other);
  const payload = (await least(rounds, () => lab.cost('from_endpoint', other, REPEAT))) - harness;
  const before = readFileSync(STATISTICS, 'utf8');
  writeFileSync(STATISTICS, '1');
  try {
    const plain = await requestCost(lab);
    const rules = [{ method: 'GET', path: '/api/v[0-9]+/orders(/[0-9]+)?', ruleId: 2 }, { method: 'POST', path: '/api/v[0-9]+/orders', ruleId: 4 }];
    const entries = [entry('egress', 0, 0, 0, 'deny', 1), { ...entry('egress', SERVER, 6, 5000, 'l7', 2), l7: 0 }];
    await lab.applyNode({ ...resolvedNode({ [ENDPOINT]: entries }, ADDRESSES, 1_000), l7Rules: [{ mode: 'soft', http: rules }] });
    return { http_ns: plain, soft_http_ns: await requestCost(lab), payload_ns: payload };
  } finally {
    writeFileSync(STATISTICS, before);
  }
}
