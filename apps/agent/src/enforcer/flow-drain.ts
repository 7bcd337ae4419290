import { FLOW_EVENT, LOSS_COUNTERS, decodeFlowEvent, type KernelFlowEvent, type KernelPort, type Ring } from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';
import type { ProgramSet } from './program-set.ts';

const ROUND = 4096;
/** `export_connections` looks at no byte of it; a TC program wants a frame to run on. */
const FRAME = new Uint8Array(64);

export interface Losses {
  readonly ringFull: bigint;
  readonly evicted: bigint;
}

/**
 * Everything the kernel has to tell: events from the ring, and every `deltaIntervalMs` the counters of all connections
 * that moved since they were told last. What was told is marked in the kernel, so a new agent process repeats nothing.
 */
export class FlowDrain {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  readonly #programs: ProgramSet;
  readonly #deltaIntervalNs: bigint;
  #ring: Ring | undefined;
  #lastExportNs = 0n;
  /** A walk over the tables that filled the ring and goes on with the next drain. */
  #exporting = false;
  #evicted = 0n;

  constructor(kernel: KernelPort, maps: MapSet, programs: ProgramSet, deltaIntervalMs: number) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#programs = programs;
    this.#deltaIntervalNs = BigInt(deltaIntervalMs) * 1_000_000n;
  }

  /** At most `limit` events; the rest stays in the kernel. `programDigest`: the programs in force. */
  drain(limit: number, programDigest: string): KernelFlowEvent[] {
    const events = this.#fromRing(limit);
    const now = this.#kernel.monotonicNs();
    if (!this.#exporting && now - this.#lastExportNs >= this.#deltaIntervalNs) {
      this.#lastExportNs = now;
      const control = this.#maps.control();
      this.#maps.writeControl({ ...control, export_epoch: (control.export_epoch + 1) >>> 0 });
      this.#exporting = true;
    }
    while (this.#exporting && events.length < limit) {
      this.#exporting = this.#export(programDigest);
      const more = this.#fromRing(limit - events.length);
      for (const event of more) events.push(event);
      if (more.length === 0) break;
    }
    return events;
  }

  #fromRing(limit: number): KernelFlowEvent[] {
    this.#ring ??= this.#kernel.openRing(this.#maps.map('events'));
    const events: KernelFlowEvent[] = [];
    const buffer = new Uint8Array(Math.min(ROUND, limit) * FLOW_EVENT.size);
    while (events.length < limit) {
      const room = Math.min(ROUND, limit - events.length);
      const count = this.#ring.drain(buffer.subarray(0, room * FLOW_EVENT.size), FLOW_EVENT.size);
      for (let at = 0; at < count; at += 1) events.push(decodeFlowEvent(buffer, at * FLOW_EVENT.size));
      if (count < room) break;
    }
    return events;
  }

  /** One walk; true: it stopped because the ring was full. */
  #export(programDigest: string): boolean {
    const program = this.#programs.open(programDigest, 'export_connections');
    try {
      const before = this.#counters();
      const full = this.#kernel.testRun(program, FRAME).result === 1;
      const after = this.#counters();
      // A whole walk has seen every living connection: what was created, not deleted and not seen was evicted.
      const gone = after.connections_created - after.connections_deleted - (after.iterated - before.iterated);
      if (!full && gone > this.#evicted) this.#evicted = gone;
      return full;
    } finally {
      this.#kernel.close(program);
    }
  }

  #counters(): Record<'ring_full' | 'connections_created' | 'connections_deleted' | 'iterated', bigint> {
    const sum = { ring_full: 0n, connections_created: 0n, connections_deleted: 0n, iterated: 0n };
    const values = this.#kernel.lookup(this.#maps.map('loss_counters'), rowKey(0)) ?? new Uint8Array();
    for (let at = 0; at < values.length; at += LOSS_COUNTERS.size) {
      const one = LOSS_COUNTERS.decode(values, at);
      sum.ring_full += one.ring_full;
      sum.connections_created += one.connections_created;
      sum.connections_deleted += one.connections_deleted;
      sum.iterated += one.iterated;
    }
    return sum;
  }

  losses(): Losses {
    return { ringFull: this.#counters().ring_full, evicted: this.#evicted };
  }

  close(): void {
    this.#ring = undefined;
    this.#exporting = false;
  }
}
