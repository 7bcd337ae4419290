import { ENDPOINT_COUNTERS, FLOW_EVENT, FlowRecords, LOSS_COUNTERS, type KernelFlowBatch, type KernelLossCounters, type KernelPort, type Ring } from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';
import type { ProgramSet } from './program-set.ts';

const ROUND = 4096;
/** Buffers that are kept between drains; a burst may take more for a moment. */
const KEPT_BUFFERS = 4;
/** `export_connections` looks at no byte of it; a TC program wants a frame to run on. */
const FRAME = new Uint8Array(64);

interface Totals {
  readonly ring_full: bigint;
  readonly connections_created: bigint;
  readonly connections_deleted: bigint;
  readonly iterated: bigint;
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
  readonly #buffers: Uint8Array[] = [];
  #used = 0;
  #lastExportNs = 0n;
  /** A walk over the tables that filled the ring and goes on with the next drain. */
  #exporting = false;
  #evicted = 0n;
  #untold = 0n;
  /** Events were read since the packet counters were last compared. */
  #moved = true;
  /** Connections created before the last walk, where it found no connection and left no denial: nothing to walk until one more is. */
  #emptySince: bigint | undefined;
  /** By processor: the number its next event should have. */
  readonly #next: (number | undefined)[] = [];
  #gaps = 0;

  constructor(kernel: KernelPort, maps: MapSet, programs: ProgramSet, deltaIntervalMs: number) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#programs = programs;
    this.#deltaIntervalNs = BigInt(deltaIntervalMs) * 1_000_000n;
  }

  /** At most `limit` events; the rest stays in the kernel. Valid until the next call. `programDigest` asks for the programs in force; empty: none. */
  drain(limit: number, programDigest: () => string): KernelFlowBatch[] {
    this.#used = 0;
    this.#buffers.length = Math.min(this.#buffers.length, KEPT_BUFFERS);
    const batches: KernelFlowBatch[] = [];
    let room = limit - this.#fromRing(limit, batches);
    const now = this.#kernel.monotonicNs();
    if (!this.#exporting && now - this.#lastExportNs >= this.#deltaIntervalNs) {
      this.#lastExportNs = now;
      if (this.#isIdle()) return batches;
      const control = this.#maps.control();
      this.#maps.writeControl({ ...control, export_epoch: (control.export_epoch + 1) >>> 0 });
      this.#exporting = true;
    }
    const digest = this.#exporting ? programDigest() : '';
    if (digest === '') return batches;
    while (this.#exporting && room > 0) {
      this.#exporting = this.#export(digest);
      const more = this.#fromRing(room, batches);
      room -= more;
      if (more === 0) break;
    }
    return batches;
  }

  /** Every denial comes with an event, or finds the ring full of them; connections are counted when they are created. */
  #isIdle(): boolean {
    return this.#emptySince !== undefined && !this.#moved && this.#counters().connections_created === this.#emptySince;
  }

  #buffer(): Uint8Array {
    const buffer = this.#buffers[this.#used] ?? new Uint8Array(ROUND * FLOW_EVENT.size);
    this.#buffers[this.#used] = buffer;
    this.#used += 1;
    return buffer;
  }

  #fromRing(limit: number, batches: KernelFlowBatch[]): number {
    this.#ring ??= this.#kernel.openRing(this.#maps.map('events'));
    let taken = 0;
    while (taken < limit) {
      const room = Math.min(ROUND, limit - taken);
      const buffer = this.#buffer();
      const count = this.#ring.drain(buffer.subarray(0, room * FLOW_EVENT.size), FLOW_EVENT.size);
      if (count > 0) batches.push(this.#checked(new FlowRecords(buffer, count)));
      taken += count;
      if (count > 0) this.#moved = true;
      if (count < room) break;
    }
    return taken;
  }

  #checked(records: FlowRecords): FlowRecords {
    const next = this.#next;
    for (let row = 0; row < records.count; row += 1) {
      const cpu = records.cpu(row);
      const sequence = records.sequence(row);
      const expected = next[cpu];
      if (expected !== undefined && expected !== sequence) this.#gaps += (sequence - expected) >>> 0;
      next[cpu] = (sequence + 1) >>> 0;
    }
    return records;
  }

  /** One walk; true: it stopped because the ring was full. */
  #export(programDigest: string): boolean {
    const program = this.#programs.open(programDigest, 'export_connections');
    try {
      const before = this.#counters();
      // Where nothing was told since, nothing can have been lost since: an idle node reads no counters.
      const packets = this.#moved ? this.#packets() : undefined;
      this.#moved = false;
      this.#emptySince = undefined;
      const full = this.#kernel.testRun(program, FRAME).result === 1;
      if (full) return true;
      // Both are lower bounds: what moves during the walk can only make them smaller. What was created before it, is not
      // deleted and was not seen by a whole walk was evicted; packets that were counted before it and not told were lost.
      const after = this.#counters();
      const gone = before.connections_created - after.connections_deleted - (after.iterated - before.iterated);
      if (gone > this.#evicted) this.#evicted = gone;
      const untold = packets === undefined ? 0n : packets.seen - this.#packets().told;
      if (untold > this.#untold) this.#untold = untold;
      if (after.iterated === before.iterated && this.#kernel.readAll(this.#maps.map('denials')).count === 0) this.#emptySince = before.connections_created;
      return false;
    } finally {
      this.#kernel.close(program);
    }
  }

  #counters(): Totals {
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

  /** Over all endpoints and processors: packets that events should tell, and those that they told. */
  #packets(): { seen: bigint; told: bigint } {
    const { values, count } = this.#kernel.readAll(this.#maps.map('endpoint_counters'));
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length / 4);
    const stride = count === 0 ? 0 : values.length / count;
    const { offsets, size } = ENDPOINT_COUNTERS;
    const read = (at: number, field: keyof typeof offsets): number => {
      const word = (at + offsets[field]) / 4;
      return (words[word] ?? 0) + (words[word + 1] ?? 0) * 2 ** 32;
    };
    let seen = 0;
    let told = 0;
    for (let at = 0; stride > 0 && at < values.length; at += size) {
      const forwarded = read(at, 'forwarded_packets');
      const dropped = read(at, 'dropped_packets');
      if (forwarded + dropped === 0) continue;
      seen += forwarded - read(at, 'untracked_packets') + dropped;
      told += read(at, 'told_packets') + read(at, 'told_drops');
    }
    return { seen: BigInt(seen), told: BigInt(told) };
  }

  losses(): KernelLossCounters {
    return { ringFull: this.#counters().ring_full, evicted: this.#evicted, sequenceGaps: BigInt(this.#gaps), untoldPackets: this.#untold };
  }

  close(): void {
    this.#ring = undefined;
    this.#exporting = false;
    this.#emptySince = undefined;
    this.#buffers.length = 0;
  }
}
