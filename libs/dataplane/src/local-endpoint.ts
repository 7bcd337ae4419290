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
