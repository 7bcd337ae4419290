/** The format of conformance cases (format 1): clusters, policies in their native shape, flows and what is expected. */

export interface CaseFile {
  readonly format: number;
  readonly name: string;
  readonly cases?: readonly ConformanceCase[];
  readonly invalid?: readonly PolicyEntry[];
  readonly valid?: readonly PolicyEntry[];
}

export interface ConformanceCase {
  readonly id: string;
  readonly title: string;
  readonly kind: string;
  readonly features: readonly string[];
  readonly cluster: CaseCluster;
  readonly policies: readonly unknown[];
  readonly flows: readonly CaseFlow[];
}

/** One object that must be refused (in `invalid`) or accepted (in `valid`). */
export interface PolicyEntry {
  readonly id: string;
  readonly policyKind: string;
  readonly policy: unknown;
  readonly reason?: string;
  readonly note?: string;
  readonly features?: readonly string[];
}

type TextMap = Readonly<Record<string, string>>;

export interface CaseCluster {
  readonly name?: string;
  readonly namespaces: readonly { readonly name: string; readonly labels?: TextMap }[];
  readonly nodes?: readonly { readonly name: string; readonly labels?: TextMap; readonly ips?: readonly string[] }[];
  readonly workloads: readonly CaseWorkload[];
  readonly services?: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly labels?: TextMap;
    readonly selector?: TextMap;
    readonly endpointIPs?: readonly string[];
  }[];
  /** CiliumCIDRGroup objects. */
  readonly cidrGroups?: readonly unknown[];
  readonly hostFirewall?: boolean;
  readonly settings?: { readonly policyAuditMode?: boolean };
}

export interface CaseWorkload {
  readonly namespace: string;
  readonly name: string;
  readonly labels?: TextMap;
  readonly ips?: readonly string[];
  readonly node?: string;
  readonly namedPorts?: Readonly<Record<string, { readonly port: number; readonly protocol?: string }>>;
  readonly serviceAccount?: string;
  readonly hostNetwork?: boolean;
  readonly init?: boolean;
  readonly policyAuditMode?: boolean;
}

export type CaseEnd = string | { readonly ip?: string; readonly fqdn?: string; readonly node?: string; readonly entity?: string };

export type CaseVerdict = 'allow' | 'deny' | 'audit';

export interface CaseFlow {
  readonly from: CaseEnd;
  readonly to: CaseEnd;
  readonly protocol: string;
  readonly port?: number;
  readonly icmp?: { readonly family?: string; readonly type: number };
  readonly http?: { readonly method: string; readonly path: string; readonly host: string; readonly headers?: TextMap };
  readonly dns?: { readonly query: string };
  readonly expect?: CaseVerdict;
  readonly egress?: CaseVerdict;
  readonly ingress?: CaseVerdict;
}
