/** Pairs of ends whose tables differ: found per node by resolving once and applying the change on top. */

import type { ClusterFacts } from '../facts.ts';
import { canonicalName } from '../fqdn-pattern.ts';
import { formatAddress, parsePrefix, prefixContains, type IpPrefix } from '../ip-address.ts';
import type { PolicyDocument } from '../ir.ts';
import { LookupTables } from '../lookup.ts';
import type { PolicySet } from '../policy-set.ts';
import type { Direction, PolicyEntry, ResolvedNode } from '../resolution.ts';
import { PolicyResolver } from '../resolve/resolver.ts';
import type { FlowEnd } from '../verdict.ts';
import type { ChangedSubject, WorkloadGroups } from './changed-subjects.ts';

/** An end of the other side; of those with one group and one class before and after, the first stands for all. */
export interface DiffPeer {
  readonly end: FlowEnd;
  readonly group: string;
  /** All that it has. */
  readonly addresses: readonly string[];
  readonly network: string;
  readonly names: readonly string[];
}

export interface ChangedPair {
  readonly subject: ChangedSubject;
  readonly direction: Direction;
  readonly peer: DiffPeer;
}

/** Yields every pair of a subject and a peer for which some entry differs in one direction; at most what is asked for. */
export function* changedPairs(before: PolicySet, after: PolicySet, facts: ClusterFacts, subjects: readonly ChangedSubject[], changed: readonly PolicyDocument[], groups: WorkloadGroups, policies: 'live' | 'all'): Iterable<ChangedPair> {
  const byNode = Map.groupBy(subjects, ({ node }) => node);
  for (const [node, local] of byNode) {
    const options = { policies, endpoints: new Set(local.map(({ key }) => key)) };
    const resolver = new PolicyResolver(before, facts, node, options);
    const old = resolver.resolved();
    resolver.updatePolicies(after);
    const fresh = resolver.resolved();
    const differ = new TableDifference(old, fresh);
    const peers = [...peersOf(facts, groups, old, fresh), ...namedPeers(changed)];
    for (const subject of local) {
      for (const direction of ['egress', 'ingress'] as const) {
        const seen = new Set<string>();
        for (const peer of peers) {
          // Nobody is restricted from itself, so it must not stand for others of its group.
          if (isSubject(peer.end, subject) || (peer.names.length > 0 && direction === 'ingress')) continue;
          const classes = differ.classesOf(peer);
          const alike = `${peer.group} ${classes.map(({ old: o, fresh: f }) => `${o}/${f}`).join(' ')}`;
          if (seen.has(alike) || !classes.some((pair) => differ.at(subject.key, direction, pair))) continue;
          seen.add(alike);
          yield { subject, direction, peer };
        }
      }
    }
  }
}

function isSubject(end: FlowEnd, { key }: ChangedSubject): boolean {
  return ('workload' in end && end.workload === key) || ('node' in end && `node/${end.node}` === key);
}

interface ClassPair {
  readonly old: number;
  readonly fresh: number;
}

/** Compares what two resolutions have for a class, rule numbers aside. */
class TableDifference {
  private readonly old: ResolvedNode;
  private readonly fresh: ResolvedNode;
  private readonly oldTables: LookupTables;
  private readonly freshTables: LookupTables;
  private readonly texts = new Map<ResolvedNode, Map<string, string>>();
  private readonly known = new Map<string, boolean>();

  constructor(old: ResolvedNode, fresh: ResolvedNode) {
    this.old = old;
    this.fresh = fresh;
    this.oldTables = new LookupTables(old);
    this.freshTables = new LookupTables(fresh);
  }

  /** One pair per address. */
  classesOf({ network, addresses, names }: DiffPeer): ClassPair[] {
    const classIn = (tables: LookupTables, address: string): number => tables.classOfLearned(network, address, names) ?? 0;
    return addresses.map((address) => ({ old: classIn(this.oldTables, address), fresh: classIn(this.freshTables, address) }));
  }

  at(endpoint: string, direction: Direction, { old, fresh }: ClassPair): boolean {
    const key = `${endpoint} ${direction} ${old} ${fresh}`;
    let differs = this.known.get(key);
    if (differs === undefined) {
      differs = this.textOf(this.old, endpoint, direction, old) !== this.textOf(this.fresh, endpoint, direction, fresh);
      this.known.set(key, differs);
    }
    return differs;
  }

  /** Entries of the class and of ANY_CLASS as text. */
  private textOf(node: ResolvedNode, endpoint: string, direction: Direction, peerClass: number): string {
    let byKey = this.texts.get(node);
    if (byKey === undefined) {
      byKey = new Map();
      for (const { key, entries } of node.endpoints) {
        for (const entry of entries) {
          const at = `${key} ${entry.direction} ${entry.peerClass}`;
          byKey.set(at, `${byKey.get(at) ?? ''};${entryText(entry, node)}`);
        }
      }
      this.texts.set(node, byKey);
    }
    return `${byKey.get(`${endpoint} ${direction} ${peerClass}`) ?? ''}|${byKey.get(`${endpoint} ${direction} 0`) ?? ''}`;
  }
}

function entryText({ protocol, port, portPrefixLength, verdict, l7 }: PolicyEntry, node: ResolvedNode): string {
  return `${protocol} ${port}/${portPrefixLength} ${verdict} ${l7 === undefined ? '' : JSON.stringify(node.l7Rules[l7])}`;
}

/** Everybody in the facts, and one address of every prefix outside. */
function peersOf(facts: ClusterFacts, groups: WorkloadGroups, ...nodes: readonly ResolvedNode[]): DiffPeer[] {
  const peer = (end: FlowEnd, network: string, addresses: readonly string[], group = JSON.stringify(end)): DiffPeer => ({ end, group, network, addresses, names: [] });
  const held: DiffPeer[] = [
    ...facts.workloads.flatMap((workload) => (workload.hostNetwork === true ? [] : [peer({ workload: workload.key }, workload.network, workload.addresses, groups.of(workload))])),
    ...facts.nodes.map(({ name, addresses }) => peer({ node: name }, 'default', addresses)),
    ...(facts.reserved ?? []).flatMap(({ network, addresses }) => addresses.map((address) => peer({ network, address }, network, [address]))),
  ];
  const taken = new Set(held.flatMap(({ addresses }) => addresses));
  const cidrs = new Set(nodes.flatMap(({ addresses }) => addresses.filter(({ network }) => network === 'default').map(({ cidr }) => cidr)));
  const prefixes = [...cidrs].map(parsePrefix).filter((prefix) => prefix !== undefined);
  const outside = prefixes.map((prefix) => ownAddress(prefix, prefixes)).filter((address) => address !== undefined);
  return [...held, ...outside.filter((address) => !taken.has(address)).map((address) => peer({ address }, 'default', [address]))];
}

/** An address of the prefix that no longer prefix holds; undefined when none of those tried is. */
function ownAddress(prefix: IpPrefix, all: readonly IpPrefix[]): string | undefined {
  const inner = all.filter(({ family, length }) => family === prefix.family && length > prefix.length);
  for (const step of [0, 1, 2, 77, 0x4d4d4d, 0x2a2a2a2a]) {
    const words = prefix.words.with(-1, ((prefix.words.at(-1) ?? 0) + step) >>> 0);
    const address = { family: prefix.family, words };
    if (prefixContains(prefix, address) && !inner.some((one) => prefixContains(one, address))) return formatAddress(address);
  }
  return undefined;
}

/** For names that changed policies speak of: an outside address learned by one that each matches. */
function namedPeers(changed: readonly PolicyDocument[]): DiffPeer[] {
  const names = new Set<string>();
  for (const peer of changed.flatMap(({ blocks }) => blocks.flatMap(({ rules }) => rules.flatMap(({ peers }) => peers)))) {
    if (peer.kind === 'fqdn') names.add(canonicalName(peer.name.value).replace(/\*+/g, 'x'));
  }
  return [...names].sort().map((name) => ({ end: { address: UNNAMED, names: [name] }, group: name, network: 'default', addresses: [UNNAMED], names: [name] }));
}

/** TEST-NET-2 (RFC 5737): stands for an outside address of no prefix in particular. */
const UNNAMED = '198.51.100.251';
