import type { ReportedService } from '@palisade/bundle';
import type { DescribedEndpoint } from '../endpoint-file.ts';
import type { KubernetesObject } from './api-client.ts';

/** What is kept of a pod (core/v1), as far as policy and attachment need it. */
export interface KeptPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly addresses: readonly string[];
  readonly namedPorts: Readonly<Record<string, { readonly port: number; readonly protocol: string }>>;
}

interface Port {
  readonly name?: string;
  readonly port?: number;
  readonly containerPort?: number;
  readonly protocol?: string;
  readonly targetPort?: number | string;
}

interface Pod extends KubernetesObject {
  readonly spec?: { readonly hostNetwork?: boolean; readonly serviceAccountName?: string; readonly containers?: readonly { readonly ports?: readonly Port[] }[]; readonly initContainers?: readonly { readonly ports?: readonly Port[]; readonly restartPolicy?: string }[] };
  readonly status?: { readonly phase?: string; readonly podIPs?: readonly { readonly ip?: string }[]; readonly podIP?: string };
}

/** Pods of the host's network have no interface of their own, ended ones no network any more, and new ones no address yet. */
export function keepPod(object: KubernetesObject): KeptPod | undefined {
  const { metadata, spec, status } = object as Pod;
  if (spec?.hostNetwork === true || status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  const addresses = [...new Set([status?.podIP, ...(status?.podIPs ?? []).map(({ ip }) => ip)].flatMap((ip) => (ip === undefined || ip === '' ? [] : [ip])))];
  if (addresses.length === 0) return undefined;
  // Init containers with restartPolicy Always are sidecars: their ports are the pod's.
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always')];
  const ports = containers.flatMap(({ ports: own }) => own ?? []);
  return {
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    uid: metadata.uid ?? '',
    labels: metadata.labels ?? {},
    serviceAccount: spec?.serviceAccountName ?? 'default',
    addresses,
    namedPorts: Object.fromEntries(ports.flatMap(({ name, containerPort, protocol }) => (name === undefined || containerPort === undefined ? [] : [[name, { port: containerPort, protocol: protocol ?? 'TCP' }]]))),
  };
}

/** @param ifname host side of the pod's veth; empty while it is not found: the endpoint is reported, and unprotected */
export function podEndpoint(pod: KeptPod, namespaceLabels: Readonly<Record<string, string>>, ifname: string): DescribedEndpoint {
  return {
    report: {
      key: `pod/${pod.namespace}/${pod.name}`,
      namespace: pod.namespace,
      name: pod.name,
      labels: pod.labels,
      namespaceLabels,
      serviceAccount: pod.serviceAccount,
      network: 'default',
      addresses: pod.addresses,
      namedPorts: pod.namedPorts,
      hostNetwork: false,
    },
    attach: { kind: 'interface', ifname },
  };
}

export interface KeptService {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly ports: readonly KeptServicePort[];
}

interface KeptServicePort {
  /** As the slices name it; '' where a service has one port without a name. */
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  /** Absent where it is a name: what it stands for is in the slices. */
  readonly targetPort?: number;
}

interface Service extends KubernetesObject {
  readonly spec?: { readonly clusterIPs?: readonly string[]; readonly clusterIP?: string; readonly externalIPs?: readonly string[]; readonly ports?: readonly Port[] };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
}

/** Services without an address of their own (headless, ExternalName) translate nothing. */
export function keepService(object: KubernetesObject): KeptService | undefined {
  const { metadata, spec, status } = object as Service;
  const all = [...(spec?.clusterIPs ?? []), spec?.clusterIP, ...(spec?.externalIPs ?? []), ...(status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip)];
  const addresses = [...new Set(all.flatMap((address) => (address === undefined || address === '' || address === 'None' ? [] : [address])))];
  if (addresses.length === 0) return undefined;
  return {
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    labels: metadata.labels ?? {},
    addresses,
    ports: (spec?.ports ?? []).flatMap(({ name, port, protocol, targetPort }): KeptServicePort[] =>
      port === undefined ? [] : [{ name: name ?? '', port, protocol: protocol ?? 'TCP', ...(typeof targetPort !== 'string' && { targetPort: targetPort ?? port }) }],
    ),
  };
}

export interface KeptSlice {
  readonly service: string;
  readonly addresses: readonly string[];
  /** Name of the service's port → the port that its backends listen on. */
  readonly ports: Readonly<Record<string, number>>;
}

interface EndpointSlice extends KubernetesObject {
  readonly ports?: readonly Port[] | null;
  readonly endpoints?: readonly { readonly addresses?: readonly string[]; readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean } }[];
}

/** An EndpointSlice (discovery.k8s.io/v1); not ready endpoints that still serve, while they terminate, count. */
export function keepSlice(object: KubernetesObject): KeptSlice | undefined {
  const { metadata, endpoints, ports } = object as EndpointSlice;
  const service = metadata.labels?.['kubernetes.io/service-name'];
  if (service === undefined) return undefined;
  const used = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false || conditions.serving === true);
  return {
    service: `${metadata.namespace ?? 'default'}/${service}`,
    addresses: used.flatMap(({ addresses }) => addresses ?? []),
    ports: Object.fromEntries((ports ?? []).flatMap(({ name, port }) => (port === undefined ? [] : [[name ?? '', port]]))),
  };
}

/**
 * Services with the backends of all their slices. A target port that is a name is what the slices say it stands for; pods may
 * differ in it, then it is the least one, and the service's own port where no slice says anything.
 */
export function reportedServices(services: Iterable<KeptService>, slices: Iterable<KeptSlice>): readonly ReportedService[] {
  const backends = new Map<string, Set<string>>();
  const targets = new Map<string, number>();
  for (const { service, addresses, ports } of slices) {
    const known = backends.get(service) ?? new Set();
    for (const address of addresses) known.add(address);
    backends.set(service, known);
    for (const [name, port] of Object.entries(ports)) targets.set(`${service}/${name}`, Math.min(port, targets.get(`${service}/${name}`) ?? port));
  }
  return [...services].map((service) => {
    const key = `${service.namespace}/${service.name}`;
    const ports = service.ports.map(({ name, port, protocol, targetPort }) => ({ port, protocol, targetPort: targetPort ?? targets.get(`${key}/${name}`) ?? port }));
    return { ...service, ports, backends: [...(backends.get(key) ?? [])].sort() };
  });
}
