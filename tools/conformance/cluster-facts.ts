/** The cluster of a case as the engine's facts, and the ends of its flows as the engine asks for them. */

import { parsePolicyValues } from '@palisade/policy-language';
import {
  RESERVED_IDENTITY,
  workloadLabels,
  type ClusterFacts,
  type FlowEnd,
  type FlowQuery,
  type IdentityFact,
  type NamedPort,
  type Protocol,
  type WorkloadFact,
} from '@palisade/policy';
import type { CaseCluster, CaseEnd, CaseFlow, CaseWorkload } from './case-file.ts';

const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6'];

/** Throws when the case does not hold what the format promises. */
export function clusterFacts(cluster: CaseCluster): ClusterFacts {
  const clusterName = cluster.name ?? 'default';
  const identities = new Identities(clusterName, cluster);
  const groups = parsePolicyValues(cluster.cidrGroups ?? []);
  if (groups.problems.length > 0) throw new Error(`The CIDR groups of the case are not valid: ${groups.problems[0]?.message ?? ''}`);
  return {
    clusterName,
    identityRevision: 1,
    workloads: cluster.workloads.map((workload) => workloadFact(workload, identities)),
    identities: identities.all,
    nodes: (cluster.nodes ?? []).map(({ name, labels = {}, ips = [] }) => ({ name, labels, addresses: ips })),
    services: (cluster.services ?? []).map(({ endpointIPs, selector, labels = {}, ...service }) => ({
      ...service,
      labels,
      ...(selector === undefined ? {} : { selector }),
      ...(endpointIPs === undefined ? {} : { endpointAddresses: endpointIPs }),
    })),
    cidrGroups: groups.cidrGroups,
    hostFirewall: cluster.hostFirewall === true,
    ...(cluster.settings === undefined ? {} : { settings: cluster.settings }),
  };
}

/** Equal labels share an identity, as in a real cluster. */
class Identities {
  readonly all: IdentityFact[] = [];
  private readonly byLabels = new Map<string, number>();
  private readonly clusterName: string;
  private readonly namespaceLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;

  constructor(clusterName: string, cluster: CaseCluster) {
    this.clusterName = clusterName;
    this.namespaceLabels = new Map(cluster.namespaces.map(({ name, labels = {} }) => [name, labels]));
  }

  of(workload: CaseWorkload): number {
    if (workload.init === true) return RESERVED_IDENTITY.init;
    const labels = workloadLabels({
      clusterName: this.clusterName,
      namespace: workload.namespace,
      namespaceLabels: this.namespaceLabels.get(workload.namespace) ?? {},
      serviceAccount: workload.serviceAccount ?? 'default',
      labels: workload.labels ?? {},
    });
    const key = JSON.stringify(Object.entries(labels).sort());
    const known = this.byLabels.get(key);
    if (known !== undefined) return known;
    const id = 256 + this.all.length;
    this.all.push({ id, labels });
    this.byLabels.set(key, id);
    return id;
  }
}

function workloadFact(workload: CaseWorkload, identities: Identities): WorkloadFact {
  return {
    key: `${workload.namespace}/${workload.name}`,
    namespace: workload.namespace,
    name: workload.name,
    identity: identities.of(workload),
    network: 'default',
    addresses: workload.ips ?? [],
    node: workload.node ?? '',
    ...(workload.namedPorts === undefined ? {} : { namedPorts: namedPorts(workload.namedPorts) }),
    ...(workload.hostNetwork === undefined ? {} : { hostNetwork: workload.hostNetwork }),
    ...(workload.policyAuditMode === undefined ? {} : { policyAuditMode: workload.policyAuditMode }),
  };
}

function namedPorts(ports: NonNullable<CaseWorkload['namedPorts']>): Record<string, NamedPort> {
  return Object.fromEntries(Object.entries(ports).map(([name, { port, protocol = 'TCP' }]) => [name, { port, protocol: protocolOf(protocol) }]));
}

function protocolOf(name: string): Protocol {
  const found = PROTOCOLS.find((protocol) => protocol === name);
  if (found === undefined) throw new Error(`"${name}" is not a protocol of the case format.`);
  return found;
}

/** The engine's question for one flow of a case. */
export function flowQuery(flow: CaseFlow): FlowQuery {
  return {
    source: flowEnd(flow.from),
    destination: flowEnd(flow.to),
    protocol: flow.icmp?.family === 'IPv6' ? 'ICMPv6' : protocolOf(flow.protocol),
    ...(flow.port === undefined ? {} : { port: flow.port }),
    ...(flow.icmp === undefined ? {} : { icmpType: flow.icmp.type }),
    ...(flow.http === undefined ? {} : { http: flow.http }),
    ...(flow.dns === undefined ? {} : { dns: flow.dns }),
  };
}

const ENTITIES = ['host', 'remote-node', 'kube-apiserver', 'health', 'ingress', 'init', 'unmanaged', 'world', 'world-ipv4', 'world-ipv6'] as const;

function flowEnd(end: CaseEnd): FlowEnd {
  if (typeof end === 'string') return { workload: end };
  if (end.node !== undefined) return { node: end.node };
  if (end.entity !== undefined) {
    const entity = ENTITIES.find((known) => known === end.entity);
    if (entity === undefined) throw new Error(`"${end.entity}" is not an entity of the case format.`);
    return { entity, ...(end.ip === undefined ? {} : { address: end.ip }) };
  }
  if (end.ip === undefined) throw new Error(`The end ${JSON.stringify(end)} names nobody.`);
  return { address: end.ip, ...(end.fqdn === undefined ? {} : { names: [end.fqdn] }) };
}
