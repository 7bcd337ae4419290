/** One endpoint that this node enforces: a workload behind a veth, or a host unit in a cgroup. */
export interface LocalEndpoint {
  /** `WorkloadFact.key`. */
  readonly key: string;
  /** Index into the kernel's endpoint arrays; assigned by the agent, stable while the endpoint lives. */
  readonly slot: number;
  readonly attach:
    | { readonly kind: 'interface'; readonly ifname: string }
    | { readonly kind: 'cgroup'; readonly path: string };
  readonly network: string;
  readonly addresses: readonly string[];
}

/**
 * An address that is not an end of any connection but is translated (DNAT) to one of its backends on the way.
 * Egress to it is decided after the translation, on the backend (docs/adr/0005-egress-to-services.md).
 */
export interface ServiceAddress {
  readonly network: string;
  /** One address, or a CIDR where a whole range is service addresses. */
  readonly address: string;
  /** Absent: every port of the address. */
  readonly port?: number;
  /** IANA number; absent: every protocol. A port needs a protocol. */
  readonly protocol?: number;
  /** What it is translated to, with the backends' own ports, where that is known. Which one a connection gets is not decided by this. */
  readonly backends?: readonly { readonly address: string; readonly port: number }[];
}
