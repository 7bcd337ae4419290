/**
 * Seeded flows as agents send them: 70 % counters of running connections, 12 % new, 6 % closed, 8 % denied, 3 % HTTP, 1 % DNS.
 * A node has 50 workloads of a cluster of 200; each talks to ten others, to few of them often (Zipf), and a workload serves one
 * port; 5 % of the far ends lie outside. Equal seeds, equal flows.
 */
import { columnsOf, type FlowBatch, type FlowEnd, type FlowPolicy, type FlowRecord } from '@palisade/flow';

const WORKLOADS = 200;
const LOCAL = 50;
const PEERS = 10;
const NAMESPACES = 20;
const PORTS = [80, 443, 8080, 5432, 6379, 9092, 53, 8443];
const PATHS = ['/', '/cart/{id}', '/users/{id}', '/api/v1/orders', '/healthz', '/search'];

export class Traffic {
  #state: number;
  readonly #node: number;
  readonly #workloads: readonly FlowEnd[];
  readonly #policies: readonly (readonly FlowPolicy[])[];

  constructor(seed: number, node = 0) {
    this.#state = seed >>> 0;
    this.#node = node;
    this.#workloads = Array.from({ length: WORKLOADS }, (_, index) => this.#workload(index));
    this.#policies = Array.from({ length: 30 }, (_, index) => [
      { kind: 'CiliumNetworkPolicy', namespace: `team-${index % NAMESPACES}`, name: `rule-${index}`, revision: 7, direction: index % 2 === 0 ? 'egress' : 'ingress', index: index % 4 } as const,
    ]);
  }

  /** Mulberry32: small, fast, good enough for traffic. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #skewed(limit: number): number {
    return Math.min(limit - 1, Math.floor(limit ** this.#random()) - 1);
  }

  #workload(index: number): FlowEnd {
    const team = index % NAMESPACES;
    return {
      // The cluster's workloads are the same for every node that sees them.
      address: `10.0.${index >> 8}.${index & 255}`, port: 0, identity: 1000 + index, labels: [`k8s:app=app-${index % 60}`, `k8s:io.kubernetes.pod.namespace=team-${team}`],
      namespace: `team-${team}`, workload: `app-${index % 60}-${index}`, cluster: 'bench', node: `node-${this.#node}`,
    };
  }

  /** One of the ten that `source` talks to, with the port it serves; sometimes the world. */
  #far(source: number): FlowEnd {
    if (this.#random() < 0.05) return { address: `198.51.${this.#below(100)}.${this.#below(20)}`, port: 443, identity: 2, labels: ['reserved:world'] };
    const index = (source * 17 + this.#skewed(PEERS) * 31) % WORKLOADS;
    return { ...(this.#workloads[index] as FlowEnd), port: PORTS[index % PORTS.length] ?? 80 };
  }

  flow(lastSeenUs: number): FlowRecord {
    const dice = this.#random();
    const denied = dice >= 0.88 && dice < 0.96;
    const local = this.#skewed(LOCAL);
    const source = this.#workloads[local] as FlowEnd;
    const packets = 1 + this.#skewed(2000);
    const http = dice >= 0.96 && dice < 0.99;
    const dns = dice >= 0.99;
    return {
      event: denied ? 'dropped' : http ? 'l7' : dns ? 'dns' : dice < 0.7 ? 'delta' : dice < 0.82 ? 'new' : 'closed',
      source: { ...source, port: 32_768 + this.#below(28_000) }, destination: this.#far(local),
      protocol: dns ? 17 : 6, direction: 'egress', node: `node-${this.#node}`, interface: `veth${source.identity % 50}`,
      verdict: denied ? 'dropped' : 'forwarded', ...(denied ? { dropReason: 'policy-denied' as const } : {}), policies: this.#policies[local % 30] ?? [],
      isReply: false, packets, bytes: packets * (60 + this.#below(1000)), replyPackets: denied ? 0 : packets, replyBytes: denied ? 0 : packets * (60 + this.#below(1400)),
      firstSeenUs: lastSeenUs - this.#below(10_000_000), lastSeenUs, tcpFlags: dns ? 0 : 0x18, generation: '1.7', policyRevision: 7, identityRevision: 42, origin: 'ebpf', weight: 1,
      ...(http ? { http: { method: 'GET', path: PATHS[this.#skewed(PATHS.length)] ?? '/', status: this.#random() < 0.02 ? 503 : 200, latencyUs: 500 + this.#below(20_000) } } : {}),
      ...(dns ? { dns: { query: `svc-${this.#skewed(50)}.example.com`, addresses: ['198.51.100.7'], rcode: 0, latencyUs: 400 } } : {}),
    };
  }

  /** One window of a second. */
  batch(bootId: string, seq: number, rows: number, endUs: number): FlowBatch {
    const flows = Array.from({ length: rows }, (_, index) => this.flow(endUs - 1_000_000 + Math.floor((index * 1_000_000) / rows)));
    return {
      bootId, seq, windowStartUs: endUs - 1_000_000, windowEndUs: endUs, account: { seen: rows, exported: rows, sampled: 0, dropped: {} }, columns: columnsOf(flows),
    };
  }
}
