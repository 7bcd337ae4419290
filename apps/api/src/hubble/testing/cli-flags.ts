import type { MessageInitShape } from '@bufbuild/protobuf';
import type { FlowRecord } from '@palisade/flow';
import type { FlowFilterSchema } from '../generated/flow/flow_pb.ts';
import { BACKEND, DATABASE, FRONTEND, flowAt, WORLD } from './hubble-under-test.ts';

export type Filter = MessageInitShape<typeof FlowFilterSchema>;

/** Whole seconds: what is asked about lies between them. */
export const nowUs = Math.floor(Date.now() / 1000) * 1_000_000;
/** A flow that was seen so many seconds ago. */
export const at = (ago: number, over: Partial<FlowRecord> = {}): FlowRecord => flowAt(nowUs - ago * 1_000_000, over);

/** Oldest first. */
export const FLOWS = {
  days: at(5 * 86_400, { tcpFlags: 0x01 }),
  dropped: at(9, { event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied', tcpFlags: 0x02, destination: DATABASE }),
  http: at(8, { event: 'l7', http: { method: 'GET', path: '/cart/7', status: 503, latencyUs: 900 } }),
  dns: at(7, { event: 'dns', protocol: 17, destination: { ...WORLD, port: 53 }, dns: { query: 'api.example.com', addresses: ['2001:db8::1'], rcode: 0 } }),
  ping: at(6, { protocol: 1, tcpFlags: 0, source: { ...FRONTEND, port: 0 }, destination: { ...BACKEND, port: 8 } }),
  verdict: at(5, { event: 'new', direction: 'ingress', node: 'node-b', policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'open', revision: 1, direction: 'ingress', index: 0 }] }),
} satisfies Record<string, FlowRecord>;
export type Name = keyof typeof FLOWS;
export const NAMES = Object.keys(FLOWS) as Name[];

/** Flags of `hubble observe`, the filters that the CLI makes of them, and which of the flows they select. */
export const CLI_FLAGS: readonly (readonly [string, Filter[], Name[]])[] = [
  ['--type l7', [{ eventType: [{ type: 129 }] }], ['http', 'dns']],
  ['--type drop', [{ eventType: [{ type: 1 }] }], ['dropped']],
  ['--type policy-verdict', [{ eventType: [{ type: 5 }] }], ['verdict']],
  ['--type trace:from-endpoint', [{ eventType: [{ type: 4, matchSubType: true, subType: 5 }] }], ['days', 'ping']],
  ['an event type of any kind', [{ eventType: [{ type: 0 }] }], NAMES],
  ['--protocol icmp', [{ protocol: ['icmp'] }], ['ping']],
  ['--protocol http --protocol icmp', [{ protocol: ['http', 'icmp'] }], ['http', 'ping']],
  ['--protocol kafka', [{ protocol: ['kafka'] }], []],
  ['--port 8 (ICMP has no ports)', [{ sourcePort: ['8'] }, { destinationPort: ['8'] }], []],
  ['--port 5432', [{ sourcePort: ['5432'] }, { destinationPort: ['5432'] }], ['dropped']],
  ['--to-port with a long range', [{ destinationPort: ['1024-65535'] }], ['days', 'dropped', 'http', 'verdict']],
  ['-n data', [{ sourcePod: ['data/'] }, { destinationPod: ['data/'] }], ['dropped']],
  ['-A', [{ sourcePod: ['/'] }, { destinationPod: ['/'] }], NAMES],
  ['--to-pod shop/backend', [{ destinationPod: ['shop/backend'] }], ['days', 'http', 'ping', 'verdict']],
  ['--to-workload backend', [{ destinationWorkload: [{ name: 'backend' }] }], ['days', 'http', 'ping', 'verdict']],
  ['--to-fqdn API.example.com.', [{ destinationFqdn: ['API.example.com.'] }], ['dns']],
  ['--tcp-flags SYN', [{ tcpFlags: [{ SYN: true }] }], ['dropped', 'http', 'verdict']],
  ['--tcp-flags FIN', [{ tcpFlags: [{ FIN: true }] }], ['days']],
  ['--http-status 5+', [{ httpStatusCode: ['5+'] }], ['http']],
  ['--http-path', [{ httpPath: ['/cart/\\d+'] }], ['http']],
  ['--traffic-direction ingress', [{ trafficDirection: [1] }], ['verdict']],
  ['--node-name demo/node-b', [{ nodeName: ['demo/node-b'] }], ['verdict']],
  ['--cluster demo', [{ nodeName: ['demo/'] }], NAMES],
  ['--node-label', [{ nodeLabels: ['zone=a'] }], []],
  ['--drop-reason-desc POLICY_DENIED', [{ dropReasonDesc: [133] }], ['dropped']],
  ['--verdict TRACED', [{ verdict: [6] }], []],
  ['--verdict DROPPED --verdict FORWARDED', [{ verdict: [2, 1] }], NAMES],
  ['--from-identity 1001 --to-identity world', [{ sourceIdentity: [1001], destinationIdentity: [2] }], ['dns']],
  ['-6', [{ ipVersion: [2] }], []],
  ['--trace-id', [{ traceId: ['abc'] }], []],
  ['--ip-trace-id', [{ ipTraceId: [7n] }], []],
  ['-4', [{ ipVersion: [1] }], NAMES],
  ['--ip-version none', [{ ipVersion: [0] }], []],
  ['--interface vethfa', [{ interface: [{ name: 'vethfa' }] }], NAMES],
  ['--interface eth0', [{ interface: [{ name: 'eth0' }] }], []],
  ['--encrypted', [{ encrypted: [true] }], []],
  ['--unencrypted', [{ encrypted: [false] }], NAMES],
  ['--snat-ip', [{ sourceIpXlated: ['10.1.0.0/16'] }], []],
  ['--from-ip', [{ sourceIp: ['10.1.0.0/24'] }], NAMES],
  ['--to-ip', [{ destinationIp: ['2001:db8::/32'] }], ['dns']],
  ['--ip', [{ sourceIp: ['10.1.0.3'] }, { destinationIp: ['10.1.0.3'] }], ['dropped']],
  ['--to-label', [{ destinationLabel: ['app=db'] }], ['dropped']],
  ['-l with a set', [{ sourceLabel: ['app in (db,web)'] }, { destinationLabel: ['app in (db,web)'] }], ['dropped']],
  ['--to-label reserved:world', [{ destinationLabel: ['reserved:world'] }], ['dns']],
  ['--from-pod', [{ sourcePod: ['shop/front'] }], NAMES],
  ['--pod without a namespace', [{ sourcePod: ['frontend'] }, { destinationPod: ['frontend'] }], []],
  ['--from-port', [{ sourcePort: ['40000'] }], ['days', 'dropped', 'http', 'dns', 'verdict']],
  ['--identity', [{ sourceIdentity: [1003] }, { destinationIdentity: [1003] }], ['dropped']],
  ['--from-cluster', [{ sourceClusterName: ['demo'] }], NAMES],
  ['--to-cluster', [{ destinationClusterName: ['demo'] }], ['days', 'dropped', 'http', 'ping', 'verdict']],
  ['--workload', [{ sourceWorkload: [{ name: 'db' }] }, { destinationWorkload: [{ name: 'db' }] }], ['dropped']],
  ['--from-service', [{ sourceService: ['shop/frontend'] }], []],
  ['--fqdn', [{ sourceFqdn: ['*.example.com'] }, { destinationFqdn: ['*.example.com'] }], ['dns']],
  ['--http-method get', [{ httpMethod: ['get'] }], ['http']],
  ['--http-url', [{ httpUrl: ['cart/.'] }], ['http']],
  ['--http-header', [{ httpHeader: [{ key: 'host', value: 'shop' }] }], []],
  ['--tcp-flags SYN,ACK', [{ tcpFlags: [{ SYN: true, ACK: true }] }], ['http', 'verdict']],
  ['--type drop:133', [{ eventType: [{ type: 1, matchSubType: true, subType: 133 }] }], ['dropped']],
  ['--type capture', [{ eventType: [{ type: 3 }] }], []],
  ['--type trace-sock', [{ eventType: [{ type: 7 }] }], []],
  ['--traffic-direction egress', [{ trafficDirection: [2] }], ['days', 'dropped', 'http', 'dns', 'ping']],
  ['--node-name with a pattern', [{ nodeName: ['node-*'] }], NAMES],
  ['--cel-expression', [{ experimental: { celExpression: ['_flow.verdict == Verdict.DROPPED'] } }], ['dropped']],
  ['--cel-expression twice', [{ experimental: { celExpression: ['_flow.l7.http.code >= 500u', '_flow.source.labels.exists(l, l.startsWith("k8s:app=fr")) && has(_flow.l7)'] } }], ['http', 'dns']],
  ['--cel-expression beside another filter', [{ verdict: [1], experimental: { celExpression: ['_flow.IP.destination.matches("^10[.]") && _flow.event_type.type != 4'] } }], ['http', 'verdict']],
  ['--protocol TCP', [{ protocol: ['TCP'] }], ['days', 'dropped', 'http', 'verdict']],
];
