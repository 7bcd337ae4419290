/** The ends of flows: who holds an address, with everything a peer of a rule can ask about it. */

import { DomainError } from '@palisade/errors';
import { RESERVED_IDENTITY, type ClusterFacts, type IdentityFact, type Labels, type NodeFact, type WorkloadFact } from '../facts.ts';
import { canonicalName } from '../fqdn-pattern.ts';
import { parseAddress, type IpAddress, type IpFamily } from '../ip-address.ts';
import { LabelView } from '../labels.ts';
import type { FlowEnd } from '../verdict.ts';

/** One end of a flow, resolved. */
export interface End {
  readonly kind: 'workload' | 'node' | 'reserved' | 'outside';
  /** Identity labels; of a node those it shows to endpoints on itself. */
  readonly labels: LabelView;
  /** Of a node: identity labels as seen from other nodes. */
  readonly remoteLabels?: LabelView;
  /** Of a node: its own labels, for nodeSelector and node peers. */
  readonly nodeLabels?: LabelView;
  /** Node that it is, or runs on; absent when unknown: then it is on no other end's node. */
  readonly node?: string;
  readonly reserved?: 'health' | 'ingress' | 'unmanaged' | 'init';
  readonly kubeApiserver: boolean;
  /** Empty with `families` set: some address of that family, in no network but the whole. */
  readonly addresses: readonly IpAddress[];
  readonly families: readonly IpFamily[];
  /** Canonical DNS names it was learned by. */
  readonly names: readonly string[];
  readonly workload?: WorkloadFact;
  readonly policyAuditMode: boolean;
}

const DEFAULT_NETWORK = 'default';

/** Facts prepared for looking ends up. Built once, read only. */
export class ClusterIndex {
  readonly facts: ClusterFacts;
  /** Number of label views handed out so far; their ordinals are below it. */
  viewCount = 0;
  private readonly identities = new Map<number, IdentityFact>();
  private readonly identityViews = new Map<number, LabelView>();
  private readonly workloads = new Map<string, WorkloadFact>();
  private readonly workloadEnds = new Map<string, End>();
  private readonly nodes = new Map<string, NodeFact>();
  private readonly nodeEnds = new Map<string, End>();
  private readonly holders = new Map<string, FlowEnd | { readonly reservedKey: string }>();
  private readonly reservedEnds = new Map<string, End>();
  private readonly apiserverAddresses = new Set<string>();

  constructor(facts: ClusterFacts) {
    this.facts = facts;
    for (const identity of facts.identities) this.identities.set(identity.id, identity);
    for (const node of facts.nodes) this.nodes.set(node.name, node);
    for (const fact of facts.reserved ?? []) {
      for (const address of fact.addresses) {
        if (fact.entity === 'kube-apiserver') this.apiserverAddresses.add(address);
        else this.holders.set(holderKey(fact.network, address), { reservedKey: fact.key });
      }
      if (fact.entity !== 'kube-apiserver') this.reservedEnds.set(fact.key, this.reservedEnd(fact.entity, fact.addresses, fact.node));
    }
    for (const node of facts.nodes) {
      for (const address of node.addresses) this.holders.set(holderKey(DEFAULT_NETWORK, address), { node: node.name });
    }
    for (const workload of facts.workloads) {
      this.workloads.set(workload.key, workload);
      if (workload.hostNetwork === true) continue;
      for (const address of workload.addresses) this.holders.set(holderKey(workload.network, address), { workload: workload.key });
    }
  }

  /** Resolves an end; `other` is the flow's other end as asked, which `entity: host` refers to. Throws `request.invalid`. */
  end(asked: FlowEnd, other: FlowEnd): End {
    if ('workload' in asked) return this.workloadEnd(asked.workload);
    if ('node' in asked) return this.nodeEnd(asked.node);
    if ('entity' in asked) return this.entityEnd(asked, other);
    const address = parseAddress(asked.address);
    if (address === undefined) {
      throw new DomainError('request.invalid', `"${asked.address}" is not an IP address: write it as 10.0.0.1 or 2001:db8::1.`);
    }
    const holder = this.holders.get(holderKey(asked.network ?? DEFAULT_NETWORK, asked.address));
    if (holder === undefined) return this.outsideEnd(address, asked.names ?? [], this.apiserverAddresses.has(asked.address));
    const end = 'reservedKey' in holder ? this.reservedEnds.get(holder.reservedKey) : this.end(holder, other);
    if (end === undefined) throw new DomainError('internal.unexpected', `No end is known for ${asked.address}.`);
    return { ...end, addresses: [address], families: [address.family] };
  }

  /** Every workload that is an endpoint of its own. */
  workloadEnd(key: string): End {
    const known = this.workloadEnds.get(key);
    if (known !== undefined) return known;
    const workload = this.workloads.get(key);
    if (workload === undefined) throw new DomainError('resource.not-found', `There is no workload "${key}" in the cluster's facts.`);
    const end = workload.hostNetwork === true ? this.hostNetworkEnd(workload) : this.podEnd(workload);
    this.workloadEnds.set(key, end);
    return end;
  }

  private podEnd(workload: WorkloadFact): End {
    const labels = this.identityView(workload.identity);
    const init = workload.identity === RESERVED_IDENTITY.init || labels.has('reserved:init', undefined);
    const addresses = parseAll(workload.addresses);
    return {
      kind: 'workload',
      labels,
      ...(workload.node === '' ? {} : { node: workload.node }),
      ...(init ? { reserved: 'init' as const } : {}),
      kubeApiserver: workload.addresses.some((address) => this.apiserverAddresses.has(address)),
      addresses,
      families: familiesOf(addresses),
      names: [],
      workload,
      policyAuditMode: this.audits(workload.policyAuditMode),
    };
  }

  /** A host-networked workload is its node (rules 10, 24, 41), with the node's policy and the addresses of both. */
  private hostNetworkEnd(workload: WorkloadFact): End {
    const node = this.nodes.has(workload.node)
      ? this.nodeEnd(workload.node)
      : this.buildNodeEnd(workload.node === '' ? undefined : workload.node, {}, []);
    const addresses = [...node.addresses, ...parseAll(workload.addresses)];
    return { ...node, addresses, families: familiesOf(addresses), policyAuditMode: this.audits(workload.policyAuditMode) };
  }

  nodeEnd(name: string): End {
    const known = this.nodeEnds.get(name);
    if (known !== undefined) return known;
    const node = this.nodes.get(name);
    if (node === undefined) throw new DomainError('resource.not-found', `There is no node "${name}" in the cluster's facts.`);
    const end = this.buildNodeEnd(name, node.labels, node.addresses);
    this.nodeEnds.set(name, end);
    return end;
  }

  private buildNodeEnd(name: string | undefined, nodeLabels: Labels, texts: readonly string[], apiserver = false): End {
    const kubeApiserver = apiserver || texts.some((address) => this.apiserverAddresses.has(address));
    const extra: Labels = kubeApiserver ? { 'reserved:kube-apiserver': '' } : {};
    const addresses = parseAll(texts);
    return {
      kind: 'node',
      labels: this.view({ 'reserved:host': '', ...extra }),
      remoteLabels: this.view({ 'reserved:remote-node': '', ...extra }),
      nodeLabels: this.view(nodeLabels),
      ...(name === undefined ? {} : { node: name }),
      kubeApiserver,
      addresses,
      families: familiesOf(addresses),
      names: [],
      policyAuditMode: this.audits(undefined),
    };
  }

  private entityEnd(asked: Extract<FlowEnd, { entity: string }>, other: FlowEnd): End {
    const texts = asked.address === undefined ? [] : [asked.address];
    switch (asked.entity) {
      case 'host':
        return this.ownNodeOf(other);
      case 'remote-node':
        return this.buildNodeEnd(undefined, {}, texts);
      case 'kube-apiserver': {
        const address = asked.address === undefined ? undefined : parseAddress(asked.address);
        return address === undefined ? this.buildNodeEnd(undefined, {}, [], true) : this.outsideEnd(address, [], true);
      }
      case 'world':
      case 'world-ipv4':
      case 'world-ipv6':
        return this.worldEnd(asked.entity === 'world-ipv6' ? 6 : 4, texts);
      default:
        return this.reservedEnd(asked.entity, texts, undefined);
    }
  }

  private ownNodeOf(other: FlowEnd): End {
    const node = 'workload' in other ? this.workloads.get(other.workload)?.node : 'node' in other ? other.node : undefined;
    return node !== undefined && this.nodes.has(node) ? this.nodeEnd(node) : this.buildNodeEnd(node, {}, []);
  }

  private reservedEnd(entity: 'health' | 'ingress' | 'unmanaged' | 'init', texts: readonly string[], node: string | undefined): End {
    const addresses = parseAll(texts);
    return {
      kind: 'reserved',
      labels: this.view({ [`reserved:${entity}`]: '' }),
      reserved: entity,
      ...(node === undefined ? {} : { node }),
      kubeApiserver: false,
      addresses,
      families: familiesOf(addresses),
      names: [],
      policyAuditMode: false,
    };
  }

  private outsideEnd(address: IpAddress, names: readonly string[], kubeApiserver: boolean): End {
    const world = this.worldEnd(address.family, []);
    const labels = kubeApiserver ? this.view({ ...worldLabels(address.family), 'reserved:kube-apiserver': '' }) : world.labels;
    return { ...world, labels, addresses: [address], names: names.map(canonicalName), kubeApiserver };
  }

  private worldEnd(family: IpFamily, texts: readonly string[]): End {
    return {
      kind: 'outside',
      labels: this.view(worldLabels(family)),
      kubeApiserver: false,
      addresses: parseAll(texts),
      families: [family],
      names: [],
      policyAuditMode: false,
    };
  }

  private identityView(id: number): LabelView {
    const known = this.identityViews.get(id);
    if (known !== undefined) return known;
    const identity = this.identities.get(id);
    const labels: Labels = identity?.labels ?? (id === RESERVED_IDENTITY.init ? { 'reserved:init': '' } : {});
    // An identity is a set of labels of its own, so comparing contents would find nothing to share.
    const view = new LabelView(labels, this.viewCount++);
    this.identityViews.set(id, view);
    return view;
  }

  /** One view per label set that is made up here, so that memo tables stay small. */
  private readonly viewsByContent = new Map<string, LabelView>();

  private view(labels: Labels): LabelView {
    const key = JSON.stringify(Object.entries(labels).sort());
    const known = this.viewsByContent.get(key);
    if (known !== undefined) return known;
    const view = new LabelView(labels, this.viewCount++);
    this.viewsByContent.set(key, view);
    return view;
  }

  private audits(own: boolean | undefined): boolean {
    return own === true || this.facts.settings?.policyAuditMode === true;
  }
}

function worldLabels(family: IpFamily): Labels {
  return { 'reserved:world': '', [`reserved:world-ipv${family}`]: '' };
}

function holderKey(network: string, address: string): string {
  return `${network}|${address}`;
}

function parseAll(texts: readonly string[]): IpAddress[] {
  return texts.map(parseAddress).filter((address) => address !== undefined);
}

function familiesOf(addresses: readonly IpAddress[]): IpFamily[] {
  return [...new Set(addresses.map((address) => address.family))];
}
