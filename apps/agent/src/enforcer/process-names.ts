import { createHash } from 'node:crypto';
import { EXECUTION, MAX_ARGUMENT_BYTES, PROCESS_EXECUTION, bytesText, type KernelFlowBatch, type KernelFlowEvent, type KernelPort } from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';
import { findExecution, processIds } from './running-processes.ts';

/** `hash`: enough to tell invocations apart without carrying what they were given, which may be secret. */
export type ArgumentSetting = 'hash' | 'full' | 'off';

export type NamedProcess = NonNullable<KernelFlowEvent['process']>;

const MAX_KNOWN = 4096;
/** A process id may be used again after this. */
const SWEEP_AFTER_NS = 60_000_000_000n;
const SWEEP_EVERY_NS = 30_000_000_000n;

/** Container id in the last part of a cgroup's path: `cri-containerd-<id>.scope`, `docker-<id>.scope`, `<id>`, …; undefined: none. */
export function containerOf(cgroup: string): string | undefined {
  return /(?:^|[-:])([0-9a-f]{64})(?:\.scope)?$/.exec(cgroup)?.[1];
}

/** What stands on flows for arguments; undefined where nothing does. The program's own name, the first one, does not count. */
export function describeArguments(bytes: Uint8Array, total: number, setting: ArgumentSetting): string | undefined {
  const kept = bytes.subarray(0, Math.min(total, MAX_ARGUMENT_BYTES));
  const end = kept.indexOf(0);
  const rest = end < 0 ? new Uint8Array() : kept.subarray(end + 1);
  if (setting === 'off' || rest.length === 0) return undefined;
  const cut = total > MAX_ARGUMENT_BYTES;
  if (setting === 'hash') return `sha256:${createHash('sha256').update(rest).update(cut ? `…${total}` : '').digest('hex').slice(0, 32)}`;
  return Buffer.from(rest).toString().replace(/\0$/, '').replaceAll('\0', ' ') + (cut ? ' …' : '');
}

function idKey(id: bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([id]).buffer);
}

class NamedBatch implements KernelFlowBatch {
  readonly #batch: KernelFlowBatch;
  readonly #name: (pid: number) => NamedProcess | undefined;

  constructor(batch: KernelFlowBatch, name: (pid: number) => NamedProcess | undefined) {
    this.#batch = batch;
    this.#name = name;
  }

  get count(): number {
    return this.#batch.count;
  }

  isPlain(row: number): boolean {
    return this.#batch.isPlain(row);
  }

  isRepeat(row: number): boolean {
    return this.#batch.isRepeat(row);
  }

  sourceKey(row: number): number | undefined {
    return this.#batch.sourceKey(row);
  }

  slot(row: number): number {
    return this.#batch.slot(row);
  }

  event(row: number): KernelFlowEvent {
    const event = this.#batch.event(row);
    const process = event.pid === 0 ? undefined : this.#name(event.pid);
    return process === undefined ? event : { ...event, process };
  }
}

/** Gives process ids their binary, arguments and container, from what the kernel noted when they executed it. */
export class ProcessNames {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  readonly #setting: ArgumentSetting;
  /** Execution → what is said of it. */
  readonly #known = new Map<bigint, NamedProcess>();
  #sweptNs = 0n;

  constructor(kernel: KernelPort, maps: MapSet, setting: ArgumentSetting) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#setting = setting;
  }

  /** Notes what runs already. The tracepoints must be attached before, so that nothing is missed in between. */
  scan(): void {
    for (const pid of processIds()) this.#find(pid);
  }

  #find(pid: number): bigint | undefined {
    const map = this.#maps.map('process_executions');
    if (this.#kernel.lookup(map, rowKey(pid)) !== undefined) return undefined;
    const found = findExecution(pid);
    if (found === undefined) return undefined;
    this.#kernel.update(this.#maps.map('executions'), idKey(found.id), found.value);
    if (this.#kernel.lookup(map, rowKey(pid)) === undefined) this.#kernel.update(map, rowKey(pid), PROCESS_EXECUTION.encode({ execution: found.id }));
    return found.id;
  }

  /** Undefined where the kernel saw nothing and the process is gone: its command is all that is known. */
  name(pid: number): NamedProcess | undefined {
    const entry = this.#kernel.lookup(this.#maps.map('process_executions'), rowKey(pid));
    const id = entry === undefined ? this.#find(pid) : PROCESS_EXECUTION.decode(entry).execution;
    if (id === undefined) return undefined;
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const value = this.#kernel.lookup(this.#maps.map('executions'), idKey(id));
    if (value === undefined) return undefined;
    const execution = EXECUTION.decode(value);
    const container = containerOf(bytesText(execution.cgroup));
    const args = describeArguments(execution.arguments, execution.argument_bytes, this.#setting);
    const named = { binary: bytesText(execution.path), ...(args !== undefined && { arguments: args }), ...(container !== undefined && { container }) };
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(id, named);
    return named;
  }

  /** The same batches, whose rows name their processes. Each process is looked up once, when a row that has it is asked for. */
  nameAll(batches: readonly KernelFlowBatch[]): readonly KernelFlowBatch[] {
    this.#sweep();
    const round = new Map<number, NamedProcess | undefined>();
    const name = (pid: number): NamedProcess | undefined => {
      if (!round.has(pid)) round.set(pid, this.name(pid));
      return round.get(pid);
    };
    return batches.map((batch) => new NamedBatch(batch, name));
  }

  /** Takes out what ended a while ago. */
  #sweep(): void {
    const now = this.#kernel.monotonicNs();
    if (now - this.#sweptNs < SWEEP_EVERY_NS) return;
    this.#sweptNs = now;
    const map = this.#maps.map('process_executions');
    const { keys, values, count } = this.#kernel.readAll(map);
    const ended: Uint8Array[] = [];
    const alive = new Set<bigint>();
    const gone = new Set<bigint>();
    for (let at = 0; at < count; at += 1) {
      const { execution, exited_ns: exitedNs } = PROCESS_EXECUTION.decode(values, at * PROCESS_EXECUTION.size);
      const over = exitedNs !== 0n && now - exitedNs > SWEEP_AFTER_NS;
      (over ? gone : alive).add(execution);
      if (over) ended.push(keys.slice(at * 4, at * 4 + 4));
    }
    for (const key of ended) this.#kernel.delete(map, key);
    const executions = this.#maps.map('executions');
    for (const id of gone) {
      if (alive.has(id)) continue;
      this.#kernel.delete(executions, idKey(id));
      this.#known.delete(id);
    }
  }
}
