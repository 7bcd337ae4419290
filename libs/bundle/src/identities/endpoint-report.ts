import { BundleError, rejectionOf, type Rejection } from '../bundle-error.ts';
import { canonicalJson, type JsonValue } from '../canonical/canonical-json.ts';
import { JsonReader } from '../canonical/json-reader.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { openEnvelope, signEnvelope } from '../signing/dsse.ts';
import { enrolledAuthority, type EnrolledKey } from '../signing/enrolled-key.ts';
import type { Signer } from '../signing/signer.ts';

export const ENDPOINTS_PAYLOAD_TYPE = 'application/vnd.palisade.endpoints+json';

/** One workload on the reporting node, as its endpoint source described it. Labels carry no source prefix. */
export interface ReportedEndpoint {
  /** Stable in the cluster, for example `pod/shop/frontend-a`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  readonly network: string;
  readonly addresses: readonly string[];
  readonly namedPorts: Readonly<Record<string, { readonly port: number; readonly protocol: string }>>;
  readonly hostNetwork: boolean;
}

export interface ReportedService {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly ports: readonly { readonly port: number; readonly protocol: string; readonly targetPort: number }[];
  readonly backends: readonly string[];
}

/** What a node says is on it. The worker believes nothing that was said before what it knows (`compareStatements`). */
export interface EndpointReport {
  readonly nodeId: string;
  readonly bootId: string;
  /** Counts the starts of the agent, as in a `NodeObservation`. 0: not counted. */
  readonly boot: number;
  readonly sequence: number;
  readonly endpoints: readonly ReportedEndpoint[];
  readonly services: readonly ReportedService[];
}

/** Signs a report with the node's enrolled key. @returns the DSSE envelope for `CheckInRequest.endpoint_report` */
export async function sealEndpointReport(report: EndpointReport, node: Signer): Promise<Uint8Array> {
  return signEnvelope(ENDPOINTS_PAYLOAD_TYPE, canonicalJson(encode(report)), [node]);
}

/**
 * The worker's side: the report must be signed by the key that this node enrolled with, and name this node.
 * @param enrolledKey the node's public key: a key object, or SubjectPublicKeyInfo as PEM or DER
 */
export function verifyEndpointReport(envelope: Uint8Array, enrolledKey: EnrolledKey, nodeId: string): { readonly ok: true; readonly report: EndpointReport } | Rejection {
  return rejectionOf(() => {
    const { payload } = openEnvelope(envelope, {
      payloadType: ENDPOINTS_PAYLOAD_TYPE,
      authority: enrolledAuthority(enrolledKey),
      maxBytes: BUNDLE_LIMITS.endpointReportBytes,
      what: 'the endpoint report',
    });
    const report = read(new JsonReader(payload));
    if (report.nodeId !== nodeId) throw new BundleError('wrong-cluster', 'the endpoint report names another node');
    return { ok: true as const, report };
  });
}

function encode(report: EndpointReport): JsonValue {
  return {
    node: report.nodeId,
    boot: report.boot,
    boot_id: report.bootId,
    sequence: report.sequence,
    endpoints: report.endpoints.map((endpoint) => ({
      key: endpoint.key,
      namespace: endpoint.namespace,
      name: endpoint.name,
      labels: endpoint.labels,
      namespace_labels: endpoint.namespaceLabels,
      service_account: endpoint.serviceAccount,
      network: endpoint.network,
      addresses: endpoint.addresses,
      named_ports: endpoint.namedPorts,
      host_network: endpoint.hostNetwork,
    })),
    services: report.services.map((service) => ({
      namespace: service.namespace,
      name: service.name,
      labels: service.labels,
      addresses: service.addresses,
      ports: service.ports.map((port) => ({ port: port.port, protocol: port.protocol, target_port: port.targetPort })),
      backends: service.backends,
    })),
  } as unknown as JsonValue;
}

const MAX_ENDPOINTS = 4096;
const PORT = { min: 1, max: 65535 };

function read(reader: JsonReader): EndpointReport {
  reader.object(['node', 'boot', 'boot_id', 'sequence', 'endpoints', 'services']);
  const boot = reader.member('boot');
  return {
    nodeId: reader.member('node').string(),
    bootId: reader.member('boot_id').string(),
    boot: boot.absent ? 0 : boot.integer(),
    sequence: reader.member('sequence').integer(),
    endpoints: reader.member('endpoints').array(MAX_ENDPOINTS).map(readEndpoint),
    services: reader.member('services').array(MAX_ENDPOINTS).map(readService),
  };
}

function readEndpoint(item: JsonReader): ReportedEndpoint {
  item.object(['key', 'namespace', 'name', 'labels', 'namespace_labels', 'service_account', 'network', 'addresses', 'named_ports', 'host_network']);
  const serviceAccount = item.member('service_account');
  return {
    key: item.member('key').string(),
    namespace: item.member('namespace').string(),
    name: item.member('name').string(),
    labels: readLabels(item.member('labels')),
    namespaceLabels: readLabels(item.member('namespace_labels')),
    ...(!serviceAccount.absent && { serviceAccount: serviceAccount.string() }),
    network: item.member('network').string(),
    addresses: item.member('addresses').array(64).map((address) => address.string(undefined, 64)),
    namedPorts: Object.fromEntries(
      item.member('named_ports').entries(256).map(([name, port]) => {
        port.object(['port', 'protocol']);
        return [name, { port: port.member('port').integer(PORT), protocol: port.member('protocol').string(undefined, 16) }];
      }),
    ),
    hostNetwork: item.member('host_network').boolean(),
  };
}

function readService(item: JsonReader): ReportedService {
  item.object(['namespace', 'name', 'labels', 'addresses', 'ports', 'backends']);
  return {
    namespace: item.member('namespace').string(),
    name: item.member('name').string(),
    labels: readLabels(item.member('labels')),
    addresses: item.member('addresses').array(64).map((address) => address.string(undefined, 64)),
    ports: item.member('ports').array(256).map((port) => {
      port.object(['port', 'protocol', 'target_port']);
      return {
        port: port.member('port').integer(PORT),
        protocol: port.member('protocol').string(undefined, 16),
        targetPort: port.member('target_port').integer(PORT),
      };
    }),
    backends: item.member('backends').array(MAX_ENDPOINTS).map((address) => address.string(undefined, 64)),
  };
}

function readLabels(reader: JsonReader): Readonly<Record<string, string>> {
  return Object.fromEntries(reader.entries(512).map(([key, value]) => [key, value.string()]));
}
