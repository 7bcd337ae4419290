import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  FLOW_DIRECTION,
  directionName,
  formatAddress,
  parseAddress,
  type FlowContext,
  type FlowDictionaries,
  type FlowDnsAnswer,
  type FlowHttpRequest,
  type FlowPeer,
  type FlowPolicy,
  type FlowProcess,
} from '@palisade/flow';

/** Bounds on what one batch may name; far above what 5,000 rows need. */
const MAX_STRINGS = 100_000;
const MAX_STRING_LENGTH = 4096;
const MAX_ENTRIES = 10_000;
const MAX_SET = 256;

/** Field numbers of the dictionaries in the FlowColumns message. */
export const DICTIONARY_FIELD = { strings: 1, peers: 2, contexts: 3, policySets: 4, processes: 5, httpRequests: 6, dnsAnswers: 7 } as const;

class Strings {
  readonly values: string[] = [''];
  readonly #index = new Map<string, number>([['', 0]]);

  index(value: string | undefined): number {
    if (value === undefined) return 0;
    let index = this.#index.get(value);
    if (index === undefined) {
      index = this.values.push(value.slice(0, MAX_STRING_LENGTH)) - 1;
      this.#index.set(value, index);
    }
    return index;
  }
}

class StringSets {
  readonly values: number[][] = [];
  readonly #index = new Map<string, number>();
  readonly #strings: Strings;

  constructor(strings: Strings) {
    this.#strings = strings;
  }

  index(value: readonly string[]): number {
    const set = value.slice(0, MAX_SET).map((text) => this.#strings.index(text));
    const key = set.join();
    let index = this.#index.get(key);
    if (index === undefined) {
      index = this.values.push(set) - 1;
      this.#index.set(key, index);
    }
    return index;
  }
}

function packed(writer: BinaryWriter, field: number, values: readonly number[]): void {
  if (values.length === 0) return;
  writer.tag(field, WireType.LengthDelimited).fork();
  for (const value of values) writer.uint32(value);
  writer.join();
}

function addressBytes(text: string): Uint8Array {
  return parseAddress(text) ?? new Uint8Array(4);
}

function writePeers(writer: BinaryWriter, peers: readonly FlowPeer[], strings: Strings): void {
  const labelSets = new StringSets(strings);
  const nameSets = new StringSets(strings);
  nameSets.index([]);
  for (const peer of peers) writer.tag(1, WireType.LengthDelimited).bytes(addressBytes(peer.address));
  packed(writer, 2, peers.map((peer) => peer.identity));
  packed(writer, 3, peers.map((peer) => labelSets.index(peer.labels)));
  packed(writer, 4, peers.map((peer) => strings.index(peer.namespace)));
  packed(writer, 5, peers.map((peer) => strings.index(peer.workload)));
  packed(writer, 6, peers.map((peer) => strings.index(peer.cluster)));
  packed(writer, 7, peers.map((peer) => strings.index(peer.node)));
  packed(writer, 8, peers.map((peer) => nameSets.index(peer.dnsNames ?? [])));
  for (const [field, sets] of [[9, labelSets], [10, nameSets]] as const) {
    for (const set of sets.values) {
      writer.tag(field, WireType.LengthDelimited).fork();
      packed(writer, 1, set);
      writer.join();
    }
  }
}

type Scalar = number | undefined;

/** Writes a message of varint fields 1, 2, 3, …; zero and undefined are left out. */
function writeScalars(writer: BinaryWriter, field: number, values: readonly Scalar[]): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  for (const [index, value] of values.entries()) if (value !== undefined && value !== 0) writer.tag(index + 1, WireType.Varint).uint64(value);
  writer.join();
}

function writePolicySet(writer: BinaryWriter, policies: readonly FlowPolicy[], strings: Strings): void {
  writer.tag(DICTIONARY_FIELD.policySets, WireType.LengthDelimited).fork();
  for (const policy of policies.slice(0, MAX_SET)) {
    const index = policy.index === undefined ? 0 : policy.index + 1;
    writeScalars(writer, 1, [strings.index(policy.kind), strings.index(policy.namespace), strings.index(policy.name), policy.revision, FLOW_DIRECTION[policy.direction], index]);
  }
  writer.join();
}

/** Appends the dictionaries of a FlowColumns message. */
export function writeDictionaries(writer: BinaryWriter, columns: FlowDictionaries): void {
  const strings = new Strings();
  writer.tag(DICTIONARY_FIELD.peers, WireType.LengthDelimited).fork();
  writePeers(writer, columns.peers, strings);
  writer.join();
  for (const context of columns.contexts) {
    writeScalars(writer, DICTIONARY_FIELD.contexts, [
      strings.index(context.node), strings.index(context.interface), strings.index(context.generation),
      context.policyRevision, context.identityRevision, context.origin,
    ]);
  }
  for (const set of columns.policySets) writePolicySet(writer, set, strings);
  for (const process of columns.processes) {
    writeScalars(writer, DICTIONARY_FIELD.processes, [strings.index(process.binary), process.pid, process.uid, strings.index(process.container), strings.index(process.arguments)]);
  }
  for (const request of columns.httpRequests) writeScalars(writer, DICTIONARY_FIELD.httpRequests, [strings.index(request.method), strings.index(request.path)]);
  for (const answer of columns.dnsAnswers) {
    writer.tag(DICTIONARY_FIELD.dnsAnswers, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.Varint).uint32(strings.index(answer.query));
    packed(writer, 2, answer.addresses.slice(0, MAX_SET).map((address) => strings.index(address)));
    writer.tag(3, WireType.Varint).uint32(answer.rcode);
    writer.join();
  }
  for (const text of strings.values) writer.tag(DICTIONARY_FIELD.strings, WireType.LengthDelimited).string(text);
}

/** Fields of a small message as numbers and lists; unknown fields are skipped. */
interface RawMessage {
  readonly scalars: Map<number, number>;
  readonly lists: Map<number, number[]>;
}

function pushBounded<Value>(list: Value[], value: Value, limit: number, what: string): void {
  if (list.length >= limit) throw new RangeError(`A batch names more than ${limit} ${what}.`);
  list.push(value);
}

function toNumber(value: bigint | number | string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`${value} is not a whole number below 2^53.`);
  return number;
}

function readRaw(bytes: Uint8Array, listFields: readonly number[], limit: number): RawMessage {
  const reader = new BinaryReader(bytes);
  const raw: RawMessage = { scalars: new Map(), lists: new Map(listFields.map((field) => [field, []])) };
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const list = raw.lists.get(field);
    if (wireType === WireType.Varint) {
      if (list === undefined) raw.scalars.set(field, toNumber(reader.uint64()));
      else pushBounded(list, reader.uint32(), limit, 'values');
    } else if (wireType === WireType.LengthDelimited && list !== undefined) {
      const end = reader.uint32() + reader.pos;
      if (end > reader.len) throw new RangeError('A list goes on after the end of its message.');
      while (reader.pos < end) pushBounded(list, reader.uint32(), limit, 'values');
    } else reader.skip(wireType, field);
  }
  return raw;
}

/** What was read of the dictionaries, still with string indexes: strings may follow their uses. */
export class DictionaryReader {
  readonly #strings: string[] = [];
  #peers: Uint8Array | undefined;
  readonly #contexts: RawMessage[] = [];
  readonly #policySets: RawMessage[][] = [];
  readonly #processes: RawMessage[] = [];
  readonly #http: RawMessage[] = [];
  readonly #dns: RawMessage[] = [];

  /** @returns false when the field is no dictionary. @throws RangeError on a batch over its bounds */
  read(field: number, bytes: Uint8Array): boolean {
    switch (field) {
      case DICTIONARY_FIELD.strings:
        if (bytes.length > MAX_STRING_LENGTH * 4) throw new RangeError(`A string is longer than ${MAX_STRING_LENGTH} characters.`);
        // PostgreSQL cannot hold NUL in text; a name with one must not make the whole batch unstorable.
        pushBounded(this.#strings, decoder.decode(bytes).replaceAll('\0', '\u{fffd}'), MAX_STRINGS, 'strings');
        return true;
      case DICTIONARY_FIELD.peers: this.#peers = bytes; return true;
      case DICTIONARY_FIELD.contexts: pushBounded(this.#contexts, readRaw(bytes, [], 0), MAX_ENTRIES, 'contexts'); return true;
      case DICTIONARY_FIELD.policySets: pushBounded(this.#policySets, readPolicies(bytes), MAX_ENTRIES, 'policy sets'); return true;
      case DICTIONARY_FIELD.processes: pushBounded(this.#processes, readRaw(bytes, [], 0), MAX_ENTRIES, 'processes'); return true;
      case DICTIONARY_FIELD.httpRequests: pushBounded(this.#http, readRaw(bytes, [], 0), MAX_ENTRIES, 'requests'); return true;
      case DICTIONARY_FIELD.dnsAnswers: pushBounded(this.#dns, readRaw(bytes, [2], MAX_SET), MAX_ENTRIES, 'DNS answers'); return true;
      default: return false;
    }
  }

  /** @throws RangeError where an index names nothing */
  finish(): FlowDictionaries {
    return {
      peers: this.#peers === undefined ? [] : this.#readPeers(this.#peers),
      contexts: this.#contexts.map((raw) => this.#context(raw)),
      policySets: this.#policySets.map((set) => set.map((raw) => this.#policy(raw))),
      processes: this.#processes.map((raw) => this.#process(raw)),
      httpRequests: this.#http.map((raw): FlowHttpRequest => ({ method: this.#text(raw, 1), path: this.#text(raw, 2) })),
      dnsAnswers: this.#dns.map((raw): FlowDnsAnswer => ({
        query: this.#text(raw, 1),
        addresses: (raw.lists.get(2) ?? []).map((index) => this.#string(index)),
        rcode: raw.scalars.get(3) ?? 0,
      })),
    };
  }

  #string(index: number): string {
    const text = this.#strings[index];
    if (text === undefined && index !== 0) throw new RangeError(`String ${index} does not exist (${this.#strings.length} strings).`);
    return text ?? '';
  }

  #text(raw: RawMessage, field: number): string {
    return this.#string(raw.scalars.get(field) ?? 0);
  }

  #optional<Key extends string>(key: Key, raw: RawMessage, field: number): { [Name in Key]?: string } {
    const text = this.#text(raw, field);
    return (text === '' ? {} : { [key]: text }) as { [Name in Key]?: string };
  }

  #context(raw: RawMessage): FlowContext {
    return {
      node: this.#text(raw, 1),
      ...this.#optional('interface', raw, 2),
      generation: this.#text(raw, 3),
      policyRevision: raw.scalars.get(4) ?? 0,
      identityRevision: raw.scalars.get(5) ?? 0,
      origin: raw.scalars.get(6) ?? 0,
    };
  }

  #policy(raw: RawMessage): FlowPolicy {
    const index = raw.scalars.get(6) ?? 0;
    return {
      kind: this.#text(raw, 1),
      ...this.#optional('namespace', raw, 2),
      name: this.#text(raw, 3),
      revision: raw.scalars.get(4) ?? 0,
      direction: directionName(raw.scalars.get(5) ?? 0),
      ...(index === 0 ? {} : { index: index - 1 }),
    };
  }

  #process(raw: RawMessage): FlowProcess {
    return {
      binary: this.#text(raw, 1),
      pid: raw.scalars.get(2) ?? 0,
      uid: raw.scalars.get(3) ?? 0,
      ...this.#optional('container', raw, 4),
      ...this.#optional('arguments', raw, 5),
    };
  }

  #readPeers(bytes: Uint8Array): FlowPeer[] {
    const { addresses, columns, labelSets, nameSets } = readPeerColumns(bytes);
    const sets = (raw: readonly (readonly number[])[]): string[][] => raw.map((set) => set.map((index) => this.#string(index)));
    const labels = sets(labelSets);
    const names = sets(nameSets);
    const column = (field: number): ((row: number) => number) => {
      const values = columns.lists.get(field) ?? [];
      if (values.length !== 0 && values.length !== addresses.length) throw new RangeError(`Peers have ${addresses.length} addresses but ${values.length} values of field ${field}.`);
      return (row) => values[row] ?? 0;
    };
    const [identity, label, namespace, workload, cluster, node, dnsNames] = [2, 3, 4, 5, 6, 7, 8].map(column) as [Column, Column, Column, Column, Column, Column, Column];
    const optional = <Key extends string>(key: Key, index: number): { [Name in Key]?: string } => {
      const text = this.#string(index);
      return (text === '' ? {} : { [key]: text }) as { [Name in Key]?: string };
    };
    return addresses.map((address, row): FlowPeer => {
      const names_ = set(names, dnsNames(row), 'Name');
      return {
        address: formatAddress(address),
        identity: identity(row),
        labels: set(labels, label(row), 'Label'),
        ...optional('namespace', namespace(row)),
        ...optional('workload', workload(row)),
        ...optional('cluster', cluster(row)),
        ...optional('node', node(row)),
        ...(names_.length === 0 ? {} : { dnsNames: names_ }),
      };
    });
  }
}

type Column = (row: number) => number;
const decoder = new TextDecoder('utf-8', { fatal: true });

function set(sets: readonly string[][], index: number, what: string): readonly string[] {
  const value = sets[index];
  if (value === undefined && index !== 0) throw new RangeError(`${what} set ${index} does not exist (${sets.length} sets).`);
  return value ?? [];
}

function readPolicies(bytes: Uint8Array): RawMessage[] {
  const reader = new BinaryReader(bytes);
  const policies: RawMessage[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.LengthDelimited) pushBounded(policies, readRaw(reader.bytes(), [], 0), MAX_SET, 'policies in one set');
    else reader.skip(wireType, field);
  }
  return policies;
}

function readPeerColumns(bytes: Uint8Array): { addresses: Uint8Array[]; columns: RawMessage; labelSets: number[][]; nameSets: number[][] } {
  const reader = new BinaryReader(bytes);
  const addresses: Uint8Array[] = [];
  const labelSets: number[][] = [];
  const nameSets: number[][] = [];
  const columns: RawMessage = { scalars: new Map(), lists: new Map([2, 3, 4, 5, 6, 7, 8].map((field) => [field, []])) };
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited) { reader.skip(wireType, field); continue; }
    const value = reader.bytes();
    const list = columns.lists.get(field);
    if (field === 1) pushBounded(addresses, value, MAX_ENTRIES, 'peers');
    else if (list !== undefined) {
      const inner = new BinaryReader(value);
      while (inner.pos < inner.len) pushBounded(list, inner.uint32(), MAX_ENTRIES, 'peers');
    } else if (field === 9 || field === 10) {
      pushBounded(field === 9 ? labelSets : nameSets, readRaw(value, [1], MAX_SET).lists.get(1) ?? [], MAX_ENTRIES, 'sets');
    }
  }
  return { addresses, columns, labelSets, nameSets };
}
