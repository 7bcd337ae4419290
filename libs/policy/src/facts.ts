/**
 * What the engine knows about a cluster: the facts that selectors are matched against.
 * A node receives them as the signed identity stream; the API and the browser build them from storage.
 * Everything here is plain JSON (no Map, no class), so it can be sealed, stored and sent unchanged.
 */

/** Numeric identities below 256 are reserved and mean the same in every tenant (numbers as Hubble knows them). */
export const RESERVED_IDENTITY = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  'remote-node': 6,
  'kube-apiserver': 7,
  ingress: 8,
  'world-ipv4': 9,
  'world-ipv6': 10,
} as const;

/** Labels with their source, `k8s:app` → `backend`; namespace labels appear as `k8s:io.cilium.k8s.namespace.labels.<key>`. */
export type Labels = Readonly<Record<string, string>>;

/** A set of labels with a number. Numbers are scoped to the tenant and never reused while anything names them. */
export interface IdentityFact {
  readonly id: number;
  readonly labels: Labels;
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP' | 'ICMP' | 'ICMPv6';

export interface NamedPort {
  readonly port: number;
  readonly protocol: Protocol;
}

/** One workload (pod, host unit, cloud interface) and the addresses that are its own. */
export interface WorkloadFact {
  /** Stable key, unique in the cluster, for example `pod/shop/backend-1`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly identity: number;
  /** Routing domain: equal addresses in different networks are different endpoints. */
  readonly network: string;
  /** Canonical addresses without prefix length. */
  readonly addresses: readonly string[];
  readonly node: string;
  readonly namedPorts?: Readonly<Record<string, NamedPort>>;
  /** The workload shares the node's address: at both policy ends it is the node. */
  readonly hostNetwork?: boolean;
  /** Drops at this endpoint are reported but let through. */
  readonly policyAuditMode?: boolean;
}

export interface NodeFact {
  readonly name: string;
  readonly labels: Labels;
  readonly addresses: readonly string[];
}

export interface ServiceFact {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  /** Absent: the service stands for `endpointAddresses`. */
  readonly selector?: Labels;
  readonly endpointAddresses?: readonly string[];
}

export interface CidrGroupFact {
  readonly name: string;
  readonly labels: Labels;
  readonly cidrs: readonly string[];
}

/**
 * An address with a reserved meaning that no workload or node fact gives it: the health endpoint, an ingress proxy, a pod
 * that the network plugin does not manage, the Kubernetes API server. A kube-apiserver on a node's address makes that
 * node kube-apiserver too; anywhere else it is kube-apiserver and world (rule 41).
 */
export interface ReservedFact {
  /** Stable key, unique in the cluster. */
  readonly key: string;
  readonly entity: 'health' | 'ingress' | 'unmanaged' | 'kube-apiserver';
  readonly network: string;
  readonly addresses: readonly string[];
  readonly node?: string;
}

/** Settings of the whole cluster. */
export interface PolicySettings {
  /** Every endpoint behaves as if `policyAuditMode` were set (rule 56). */
  readonly policyAuditMode?: boolean;
  /** `always` isolates every endpoint in both directions, `never` enforces nothing; absent: `default` (rule 39). */
  readonly enforcement?: 'default' | 'always' | 'never';
}

/** A complete view at one identity revision. */
export interface ClusterFacts {
  readonly clusterName: string;
  readonly identityRevision: number;
  readonly identities: readonly IdentityFact[];
  readonly workloads: readonly WorkloadFact[];
  readonly nodes: readonly NodeFact[];
  readonly services: readonly ServiceFact[];
  readonly cidrGroups: readonly CidrGroupFact[];
  /** Host policies (nodeSelector) are enforced. */
  readonly hostFirewall: boolean;
  readonly reserved?: readonly ReservedFact[];
  readonly settings?: PolicySettings;
}

/** The step from one identity revision to the next. `removed` holds keys (identities: ids). */
export interface FactsIncrement {
  readonly identityRevision: number;
  readonly previousRevision: number;
  readonly identities: { readonly upserted: readonly IdentityFact[]; readonly removed: readonly number[] };
  readonly workloads: { readonly upserted: readonly WorkloadFact[]; readonly removed: readonly string[] };
  readonly nodes: { readonly upserted: readonly NodeFact[]; readonly removed: readonly string[] };
  readonly services: { readonly upserted: readonly ServiceFact[]; readonly removed: readonly string[] };
  readonly cidrGroups: { readonly upserted: readonly CidrGroupFact[]; readonly removed: readonly string[] };
}
