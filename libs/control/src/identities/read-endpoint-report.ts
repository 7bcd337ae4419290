import type { EndpointReport, ReportedEndpoint, ReportedService } from '@palisade/bundle';
import { workloadLabels, type Labels, type Protocol, type ServiceFact, type WorkloadFact } from '@palisade/policy';
import { addressWithin, canonicalAddress } from './address-range.ts';

/** What of a report can be taken, and one sentence for each thing that cannot. */
export interface ReadReport {
  readonly workloads: readonly { readonly labels: Labels; readonly fact: Omit<WorkloadFact, 'identity'> }[];
  readonly services: readonly { readonly key: string; readonly fact: ServiceFact }[];
  readonly problems: readonly string[];
}

const PROTOCOLS: readonly string[] = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6'];

/**
 * Turns a verified report into facts. An address outside the node's assigned ranges is refused: a node speaks only for
 * addresses that are its own. Labels with a source (`cloud:…`, `reserved:…`) are refused: nodes do not speak for those.
 */
export function readEndpointReport(report: EndpointReport, node: { readonly name: string; readonly addressRanges: readonly string[] | null }, clusterName: string): ReadReport {
  const problems: string[] = [];
  const keys = new Set<string>();
  const workloads = report.endpoints.flatMap((endpoint) => {
    const problem = keys.has(endpoint.key) ? `it is reported twice` : problemOf(endpoint);
    keys.add(endpoint.key);
    if (problem !== null) {
      problems.push(`Endpoint ${endpoint.key}: ${problem}.`);
      return [];
    }
    const addresses = endpoint.addresses.flatMap((text) => {
      const address = canonicalAddress(text);
      if (address !== null && inside(address, node.addressRanges)) return [address];
      problems.push(`Endpoint ${endpoint.key}: address ${text} ${address === null ? 'is not an IP address' : `is outside the ranges of node ${node.name}`}.`);
      return [];
    });
    return [toWorkload(endpoint, addresses, node.name, clusterName)];
  });
  return { workloads, services: report.services.map(toService), problems };
}

function inside(address: string, ranges: readonly string[] | null): boolean {
  return ranges === null || ranges.some((range) => addressWithin(address, range));
}

function problemOf(endpoint: ReportedEndpoint): string | null {
  const labelled = [...Object.keys(endpoint.labels), ...Object.keys(endpoint.namespaceLabels)].find((key) => key.includes(':'));
  if (labelled !== undefined) return `label ${labelled} names a source, which a node may not`;
  const badPort = Object.entries(endpoint.namedPorts).find(([, port]) => !PROTOCOLS.includes(port.protocol));
  return badPort === undefined ? null : `named port ${badPort[0]} has protocol ${badPort[1].protocol}`;
}

function toWorkload(endpoint: ReportedEndpoint, addresses: readonly string[], nodeName: string, clusterName: string): { labels: Labels; fact: Omit<WorkloadFact, 'identity'> } {
  const { serviceAccount } = endpoint;
  const labels = workloadLabels({
    clusterName,
    namespace: endpoint.namespace,
    namespaceLabels: endpoint.namespaceLabels,
    labels: endpoint.labels,
    ...(serviceAccount === undefined ? {} : { serviceAccount }),
  });
  const namedPorts = Object.fromEntries(Object.entries(endpoint.namedPorts).map(([name, { port, protocol }]) => [name, { port, protocol: protocol as Protocol }]));
  return {
    labels,
    fact: {
      key: endpoint.key,
      namespace: endpoint.namespace,
      name: endpoint.name,
      network: endpoint.network,
      addresses: [...new Set(addresses)].sort(),
      node: nodeName,
      ...(Object.keys(namedPorts).length > 0 && { namedPorts }),
      ...(endpoint.hostNetwork && { hostNetwork: true }),
    },
  };
}

function toService(service: ReportedService): { key: string; fact: ServiceFact } {
  const endpointAddresses = [...service.backends].sort();
  return {
    key: `${service.namespace}/${service.name}`,
    fact: { namespace: service.namespace, name: service.name, labels: service.labels, endpointAddresses },
  };
}
