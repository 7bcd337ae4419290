import type { FlowColumns, FlowParty, FlowPeer } from '@palisade/flow';
import type { FlowSender } from '@palisade/control';
import type { DictionaryEntry, DictionaryTable } from './flow-dictionary.ts';

const text = (name: string) => ({ name, type: 'text' }) as const;
const list = (name: string) => ({ name, type: 'text[]' }) as const;
const bigint = (name: string) => ({ name, type: 'bigint' }) as const;

/** The dictionary tables (migration 0020) and how the entries of a batch describe themselves to them. */
export const DICTIONARY_TABLES = {
  peers: {
    name: 'flow_peer',
    columns: [{ name: 'address', type: 'inet' }, bigint('identity'), list('labels'), text('namespace'), text('workload'), text('cluster'), text('node'), list('dns_names')],
  },
  observers: { name: 'flow_observer', columns: [{ name: 'cluster_id', type: 'uuid' }, { name: 'node_id', type: 'uuid' }, text('node'), text('interface')] },
  stamps: { name: 'flow_stamp', columns: [text('generation'), bigint('policy_revision'), bigint('identity_revision'), { name: 'origin', type: 'smallint' }] },
  policySets: { name: 'flow_policy_set', columns: [{ name: 'policies', type: 'jsonb' }] },
  processes: { name: 'flow_process', columns: [text('binary'), bigint('uid'), text('container'), text('arguments')] },
  httpRequests: { name: 'flow_http', columns: [text('method'), text('path')] },
  dnsAnswers: { name: 'flow_dns', columns: [text('query'), list('addresses'), { name: 'rcode', type: 'integer' }] },
} as const satisfies Record<string, DictionaryTable>;

export type DictionaryName = keyof typeof DICTIONARY_TABLES;
export const DICTIONARY_NAMES = Object.keys(DICTIONARY_TABLES) as readonly DictionaryName[];

function peerEntry(peer: FlowPeer): DictionaryEntry {
  return [
    peer.address, peer.identity, peer.labels, peer.namespace ?? null, peer.workload ?? null, peer.cluster ?? null, peer.node ?? null, peer.dnsNames ?? [],
  ];
}

/** Parties live in the table of peers, under the address that means none. */
const NO_ADDRESS = '0.0.0.0';

/** The entry of a peer's party: itself without what tells its replicas and addresses apart. */
export function partyEntry({ identity, labels, namespace, workload, cluster, dnsNames }: FlowParty): DictionaryEntry {
  return peerEntry({
    address: NO_ADDRESS, identity, labels,
    ...(namespace === undefined ? {} : { namespace }), ...(workload === undefined ? {} : { workload }), ...(cluster === undefined ? {} : { cluster }),
    ...(dnsNames === undefined ? {} : { dnsNames }),
  });
}

/** The entries of a batch's dictionaries, in the batch's order. */
export function dictionaryEntries(sender: FlowSender, columns: FlowColumns): Record<DictionaryName, DictionaryEntry[]> {
  return {
    peers: columns.peers.map(peerEntry),
    observers: columns.contexts.map(({ node, interface: name }) => [sender.clusterId, sender.nodeId, node, name ?? null]),
    stamps: columns.contexts.map(({ generation, policyRevision, identityRevision, origin }) => [generation, policyRevision, identityRevision, origin]),
    policySets: columns.policySets.map((policies) => [policies]),
    processes: columns.processes.map(({ binary, uid, container, arguments: line }) => [binary, uid, container ?? null, line ?? null]),
    httpRequests: columns.httpRequests.map(({ method, path }) => [method, path]),
    dnsAnswers: columns.dnsAnswers.map(({ query, addresses, rcode }) => [query, addresses, rcode]),
  };
}
