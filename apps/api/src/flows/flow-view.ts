import type { StoredFlow } from '@palisade/control';
import { DROP_REASON, FLOW_DIRECTION, FLOW_EVENT, FLOW_LOSS_REASONS, FLOW_SOURCE, VERDICT, type FlowCoverage, type FlowEnd } from '@palisade/flow';
import { PROTOCOL_NUMBER } from '@palisade/policy';
import { z } from 'zod';
import { instantText } from './instant.ts';

const oneOf = <Name extends string>(numbers: Readonly<Record<Name, number>>) => z.enum(Object.keys(numbers) as [Name, ...Name[]]);

export const flowEndView = z.object({
  address: z.string(),
  port: z.int().describe('0 where the protocol has no ports; ICMP: the type, at the destination'),
  identity: z.int(),
  labels: z.array(z.string()).describe('Sorted source:key=value'),
  namespace: z.string().optional(),
  workload: z.string().optional(),
  cluster: z.string().optional(),
  node: z.string().optional(),
  dnsNames: z.array(z.string()).optional(),
}).meta({ id: 'FlowEnd' });

export const flowPolicyView = z.object({
  kind: z.string(),
  namespace: z.string().optional(),
  name: z.string(),
  revision: z.int(),
  direction: oneOf(FLOW_DIRECTION),
  index: z.int().optional().describe('Position of the rule; absent on a default deny'),
}).meta({ id: 'FlowPolicy' });

export const flowView = z.object({
  id: z.string(),
  clusterId: z.string(),
  event: oneOf(FLOW_EVENT),
  verdict: oneOf(VERDICT),
  dropReason: oneOf(DROP_REASON).optional(),
  direction: oneOf(FLOW_DIRECTION),
  protocol: z.string().describe('TCP, UDP, SCTP, ICMP, ICMPv6, or the IANA number'),
  source: flowEndView,
  destination: flowEndView,
  node: z.string().describe('Where it was seen'),
  interface: z.string().optional(),
  policies: z.array(flowPolicyView).describe('The deciding rule, or the selecting policies on a default deny; empty where no policy applied'),
  shadowVerdict: oneOf(VERDICT).optional().describe('What the shadow policy would have decided, where it differs'),
  isReply: z.boolean(),
  packets: z.int(),
  bytes: z.int(),
  replyPackets: z.int(),
  replyBytes: z.int(),
  firstSeen: z.iso.datetime({ precision: 6 }),
  lastSeen: z.iso.datetime({ precision: 6 }),
  tcpFlags: z.int(),
  rttUs: z.int().optional(),
  process: z.object({ binary: z.string(), pid: z.int(), uid: z.int(), container: z.string().optional(), arguments: z.string().optional() }).optional(),
  http: z.object({ method: z.string(), path: z.string(), status: z.int().optional(), latencyUs: z.int().optional() }).optional(),
  dns: z.object({ query: z.string(), addresses: z.array(z.string()), rcode: z.int(), latencyUs: z.int().optional() }).optional(),
  generation: z.string().describe('Bundle under which the verdict was taken'),
  policyRevision: z.int(),
  identityRevision: z.int(),
  origin: oneOf(FLOW_SOURCE),
  weight: z.int().describe('How many flows this one stands for'),
}).meta({ id: 'Flow' });
export type FlowView = z.output<typeof flowView>;

const { process, http, dns } = flowView.shape;
const flowPartView = flowView.extend({
  source: flowEndView.partial(), destination: flowEndView.partial(), policies: z.array(flowPolicyView.partial()),
  process: process.unwrap().partial(), http: http.unwrap().partial(), dns: dns.unwrap().partial(),
}).partial();

export const flowCoverageView = z.object({
  complete: z.boolean().describe('Nothing was lost or sampled in the window'),
  lost: z.int(),
  sampled: z.int(),
  losses: z.object(Object.fromEntries(FLOW_LOSS_REASONS.map((reason) => [reason, z.int().optional()]))),
}).meta({ id: 'FlowCoverage' });

export const flowPageView = z.object({
  items: z.array(flowView).describe('With `fields`, only the fields that it names'),
  next: z.string().optional().describe('Cursor of the following page; absent on the last one. A page may be short, or empty, and go on'),
  coverage: flowCoverageView,
}).meta({ id: 'FlowPage' });
/** As it is sent: `fields` may have left anything out of a flow. */
export const sentFlowPage = flowPageView.extend({ items: z.array(flowPartView) });

const PROTOCOL_NAMES = new Map<number, string>(Object.entries(PROTOCOL_NUMBER).map(([name, number]) => [number, name]));

export function protocolName(number: number): string {
  return PROTOCOL_NAMES.get(number) ?? String(number);
}

function endView({ labels, dnsNames, ...end }: FlowEnd): FlowView['source'] {
  return { ...end, labels: [...labels], ...(dnsNames === undefined ? {} : { dnsNames: [...dnsNames] }) };
}

export function viewOfFlow({ firstSeenUs, lastSeenUs, protocol, source, destination, policies, dns, ...flow }: StoredFlow): FlowView {
  return {
    ...flow,
    protocol: protocolName(protocol),
    source: endView(source),
    destination: endView(destination),
    policies: policies.map((policy) => ({ ...policy })),
    firstSeen: instantText(firstSeenUs),
    lastSeen: instantText(lastSeenUs),
    ...(dns === undefined ? {} : { dns: { ...dns, addresses: [...dns.addresses] } }),
  };
}

export function viewOfCoverage(coverage: FlowCoverage): z.output<typeof flowCoverageView> {
  return { ...coverage, losses: { ...coverage.losses } };
}
