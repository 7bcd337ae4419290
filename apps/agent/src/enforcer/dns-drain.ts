import { DNS_EVENT, decodeDnsEvent, type KernelFlowEvent, type KernelPort, type Ring } from '@palisade/dataplane';
import type { MapSet } from './map-set.ts';
import { NameLearning } from './name-learning.ts';

const ROUND = 256;

/** Answers to workloads' questions, and questions that policy dropped, from their own ring. */
export class DnsDrain {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  #ring: Ring | undefined;
  readonly #buffer = new Uint8Array(ROUND * DNS_EVENT.size);
  #unread = 0n;
  readonly #names: NameLearning;

  constructor(kernel: KernelPort, maps: MapSet) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#names = new NameLearning(kernel, maps);
  }

  /** Messages on port 53 that could not be read; monotonic in this process. */
  get unread(): bigint {
    return this.#unread;
  }

  /** At most `limit` events; the rest stays in the kernel. */
  drain(limit: number): KernelFlowEvent[] {
    this.#ring ??= this.#kernel.openRing(this.#maps.map('dns_events'));
    const events: KernelFlowEvent[] = [];
    for (let taken = 0; taken < limit; ) {
      const room = Math.min(ROUND, limit - taken);
      const count = this.#ring.drain(this.#buffer.subarray(0, room * DNS_EVENT.size), DNS_EVENT.size);
      for (let at = 0; at < count; at += 1) {
        const event = decodeDnsEvent(this.#buffer, at * DNS_EVENT.size);
        if (event === undefined) {
          this.#unread += 1n;
          continue;
        }
        this.#names.learn(event);
        events.push(event);
      }
      taken += count;
      if (count < room) break;
    }
    return events;
  }

  close(): void {
    this.#ring = undefined;
  }
}
