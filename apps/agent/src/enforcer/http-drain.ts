import { HTTP_COUNTERS, HTTP_EVENT, decodeHttpEvent, type KernelFlowEvent, type KernelPort, type Ring } from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';

const ROUND = 512;

/** What the HTTP reader of the programs has counted since it was loaded; monotonic. */
export interface HttpCounts {
  readonly requests: bigint;
  /** Requests and answers that could not be read: cut, too long, malformed. */
  readonly unparsed: bigint;
  /** Segments that looked like a request while another one waited for its answer. */
  readonly pipelined: bigint;
  readonly tls: bigint;
  readonly http2: bigint;
  /** Events that found no room. */
  readonly lost: bigint;
}

/** HTTP exchanges as the kernel saw them, from their own ring. */
export class HttpDrain {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  #ring: Ring | undefined;
  readonly #buffer = new Uint8Array(ROUND * HTTP_EVENT.size);

  constructor(kernel: KernelPort, maps: MapSet) {
    this.#kernel = kernel;
    this.#maps = maps;
  }

  /** At most `limit` events; the rest stays in the kernel. */
  drain(limit: number): KernelFlowEvent[] {
    this.#ring ??= this.#kernel.openRing(this.#maps.map('http_events'));
    const events: KernelFlowEvent[] = [];
    while (events.length < limit) {
      const buffer = this.#buffer;
      const room = Math.min(ROUND, limit - events.length);
      const count = this.#ring.drain(buffer.subarray(0, room * HTTP_EVENT.size), HTTP_EVENT.size);
      for (let at = 0; at < count; at += 1) events.push(decodeHttpEvent(buffer, at * HTTP_EVENT.size));
      if (count < room) break;
    }
    return events;
  }

  counts(): HttpCounts {
    const sum = { requests: 0n, unparsed: 0n, pipelined: 0n, tls: 0n, http2: 0n, lost: 0n };
    const values = this.#kernel.lookup(this.#maps.map('http_counters'), rowKey(0)) ?? new Uint8Array();
    for (let at = 0; at < values.length; at += HTTP_COUNTERS.size) {
      const one = HTTP_COUNTERS.decode(values, at);
      sum.requests += one.requests;
      sum.unparsed += one.unparsed;
      sum.pipelined += one.pipelined;
      sum.tls += one.tls;
      sum.http2 += one.http2;
      sum.lost += one.ring_full;
    }
    return sum;
  }

  close(): void {
    this.#ring = undefined;
  }
}
