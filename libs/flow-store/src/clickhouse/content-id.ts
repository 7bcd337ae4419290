import { createHash } from 'node:crypto';
import { FLOW_DIRECTION, parseAddress, type FlowColumns, type FlowParty, type FlowPeer, type FlowPolicy } from '@palisade/flow';
import type { FlowSender } from '@palisade/control';
import type { DictionaryTable } from './schema/dictionary-tables.ts';

type EntryValue = string | number | null | readonly (string | number)[];
/** Columns of an entry, without tenant and id. */
export type DictionaryEntry = Readonly<Record<string, EntryValue>>;

/** An entry with the id that its content gives it. */
export interface NamedEntry {
  readonly table: DictionaryTable;
  /** Decimal, from 1 to 2^64 − 1. */
  readonly id: string;
  readonly entry: DictionaryEntry;
}

const CACHE_ENTRIES = 200_000;

/**
 * Ids from contents: the first 64 bits of SHA-256 over table and content. Every gateway finds the same id without asking
 * anybody, also after a restart. Two contents of one tenant collide with a probability below 10⁻⁷ at a million entries.
 */
export class ContentIds {
  readonly #ids = new Map<string, string>();

  of(table: DictionaryTable, entry: DictionaryEntry): string {
    const content = `${table} ${JSON.stringify(Object.values(entry))}`;
    const known = this.#ids.get(content);
    if (known !== undefined) return known;
    const number = createHash('sha256').update(content).digest().readBigUInt64LE(0);
    // 0 stands for "none".
    const id = (number === 0n ? 1n : number).toString();
    if (this.#ids.size >= CACHE_ENTRIES) this.#ids.clear();
    this.#ids.set(content, id);
    return id;
  }
}

/** Ids in the layout of a UInt64 column. */
export function idLayout(ids: readonly string[]): Buffer {
  const bytes = Buffer.allocUnsafe(ids.length * 8);
  for (const [index, id] of ids.entries()) bytes.writeBigUInt64LE(BigInt(id), index * 8);
  return bytes;
}

function peerEntry(peer: FlowPeer): DictionaryEntry {
  return {
    address: peer.address, address_hex: Buffer.from(parseAddress(peer.address) ?? []).toString('hex'), identity: peer.identity, labels: peer.labels, namespace: peer.namespace ?? null, workload: peer.workload ?? null,
    cluster: peer.cluster ?? null, node: peer.node ?? null, dns_names: peer.dnsNames ?? [],
  };
}

/** A peer without what tells its replicas and addresses apart. Parties are peers without address. */
export function partyEntry({ identity, labels, namespace, workload, cluster, dnsNames }: FlowParty): DictionaryEntry {
  return peerEntry({
    address: '', identity, labels, ...(namespace === undefined ? {} : { namespace }), ...(workload === undefined ? {} : { workload }),
    ...(cluster === undefined ? {} : { cluster }), ...(dnsNames === undefined ? {} : { dnsNames }),
  });
}

/** How an absent namespace differs from an empty one in a list of texts. */
export const PRESENT = '=';
/** Rule number of a default deny. */
export const DEFAULT_DENY = -1;

/** One order of fields, wherever the policy comes from: the id is made from this text. */
function policyText({ kind, namespace, name, revision, direction, index }: FlowPolicy): string {
  return JSON.stringify({ kind, namespace, name, revision, direction, index });
}

function policySetEntry(policies: readonly FlowPolicy[]): DictionaryEntry {
  return {
    policies: `[${policies.map(policyText).join()}]`,
    kinds: policies.map(({ kind }) => kind),
    namespaces: policies.map(({ namespace }) => (namespace === undefined ? '' : `${PRESENT}${namespace}`)),
    names: policies.map(({ name }) => name),
    directions: policies.map(({ direction }) => FLOW_DIRECTION[direction]),
    rules: policies.map(({ index }) => index ?? DEFAULT_DENY),
  };
}

/** The entries of a batch's dictionaries, each list in the batch's order. */
export function batchEntries({ nodeId }: FlowSender, columns: FlowColumns): Readonly<Record<DictionaryTable, readonly DictionaryEntry[]>> {
  return {
    flow_peer: columns.peers.map(peerEntry),
    flow_observer: columns.contexts.map(({ node, interface: name }) => ({ node_id: nodeId, node, interface: name ?? null })),
    flow_stamp: columns.contexts.map(({ generation, policyRevision, identityRevision, origin }) => ({
      generation, policy_revision: policyRevision, identity_revision: identityRevision, origin,
    })),
    flow_policy_set: columns.policySets.map(policySetEntry),
    flow_process: columns.processes.map(({ binary, uid, container, arguments: line }) => ({ binary, uid, container: container ?? null, arguments: line ?? null })),
    flow_http: columns.httpRequests.map(({ method, path }) => ({ method, path })),
    flow_dns: columns.dnsAnswers.map(({ query, addresses, rcode }) => ({ query, addresses, rcode })),
  };
}
