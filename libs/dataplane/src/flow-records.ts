/**
 * A batch of `struct flow_event` as the ring gave it: one buffer, fields read in place. Most events of a busy node are only
 * counted or left out by sampling; only those that are kept become objects.
 */

import { FLOW_SHADOW, MAX_ENDPOINTS, VERDICT_NUMBER, DIRECTION_NUMBER, EVENT_KIND } from './abi/constants.ts';
import { FLOW_EVENT } from './abi/layouts.ts';
import { decodeFlowEvent } from './decode-event.ts';
import type { KernelFlowBatch, KernelFlowEvent } from './kernel-event.ts';

const AT = FLOW_EVENT.offsets;
const SIZE = FLOW_EVENT.size;
const IPV4 = 4;

export class FlowRecords implements KernelFlowBatch {
  readonly count: number;
  readonly #bytes: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;

  /** @param bytes `count` records; read whenever a row is asked for, so it must not be filled again before */
  constructor(bytes: Uint8Array, count: number) {
    this.count = count;
    this.#bytes = bytes;
    this.#u16 = new Uint16Array(bytes.buffer, bytes.byteOffset, (count * SIZE) / 2);
    this.#u32 = new Uint32Array(bytes.buffer, bytes.byteOffset, (count * SIZE) / 4);
  }

  #byte(row: number, offset: number): number {
    return this.#bytes[row * SIZE + offset] ?? 0;
  }

  isPlain(row: number): boolean {
    return this.#byte(row, AT.verdict) === VERDICT_NUMBER.allow && (this.#byte(row, AT.flags) & FLOW_SHADOW) === 0;
  }

  isRepeat(row: number): boolean {
    const kind = this.#byte(row, AT.kind);
    return (
      this.#byte(row, AT.direction) === DIRECTION_NUMBER.ingress &&
      (kind === EVENT_KIND.delta || kind === EVENT_KIND.closed) &&
      this.#byte(row, AT.verdict) === VERDICT_NUMBER.allow
    );
  }

  sourceKey(row: number): number | undefined {
    if (this.#byte(row, AT.family) !== IPV4) return undefined;
    return (this.#u32[(row * SIZE + AT.source) / 4] ?? 0) * MAX_ENDPOINTS + this.slot(row);
  }

  slot(row: number): number {
    return this.#u16[(row * SIZE + AT.slot) / 2] ?? 0;
  }

  /** Processor that wrote the record, and its number there (wraps at 2^32). */
  cpu(row: number): number {
    return this.#u16[(row * SIZE + AT.cpu) / 2] ?? 0;
  }

  sequence(row: number): number {
    return this.#u32[(row * SIZE + AT.sequence) / 4] ?? 0;
  }

  event(row: number): KernelFlowEvent {
    return decodeFlowEvent(this.#bytes, row * SIZE);
  }
}

/** Events that are objects already, as a batch. */
export class FlowEventList implements KernelFlowBatch {
  readonly tellsNames: boolean;
  readonly #events: readonly KernelFlowEvent[];

  constructor(events: readonly KernelFlowEvent[], tellsNames = false) {
    this.tellsNames = tellsNames;
    this.#events = events;
  }

  get count(): number {
    return this.#events.length;
  }

  /** @throws RangeError where there is no such row */
  event(row: number): KernelFlowEvent {
    const found = this.#events[row];
    if (found === undefined) throw new RangeError(`there is no row ${row} among ${this.#events.length}`);
    return found;
  }

  isPlain(row: number): boolean {
    const { verdict, shadowVerdict } = this.event(row);
    return verdict === 'forwarded' && shadowVerdict === undefined;
  }

  isRepeat(row: number): boolean {
    const { direction, event, verdict } = this.event(row);
    return direction === 'ingress' && verdict === 'forwarded' && (event === 'delta' || event === 'closed' || event === 'l7');
  }

  sourceKey(): undefined {
    return undefined;
  }

  slot(row: number): number {
    return this.event(row).endpointSlot;
  }
}

/** All rows as objects. */
export function eventsOf(batches: readonly KernelFlowBatch[]): KernelFlowEvent[] {
  const events: KernelFlowEvent[] = [];
  for (const batch of batches) {
    for (let row = 0; row < batch.count; row += 1) events.push(batch.event(row));
  }
  return events;
}
