import type { FlowSummary } from '@palisade/control';
import { dnsFailureRate, DROP_REASON, latencyQuantileUs, VERDICT, type ConnectionChange, type DropCause, type FlowDnsName, type FlowParty, type ServiceConnection, type Talker, type Verdict } from '@palisade/flow';
import { z } from 'zod';
import { instantText } from './instant.ts';
import { flowWindowQuery, instantParameter } from './flow-query.ts';
import { flowCoverageView, flowPolicyView, protocolName, viewOfCoverage } from './flow-view.ts';

const verdicts = Object.keys(VERDICT) as [Verdict, ...Verdict[]];

export const windowQuery = flowWindowQuery.strict();
export const talkersQuery = flowWindowQuery.extend({
  measure: z.enum(['bytes', 'packets', 'flows']).default('bytes'),
  limit: z.coerce.number().int().min(1).max(500).default(20),
}).strict();
export const limitedQuery = flowWindowQuery.extend({ limit: z.coerce.number().int().min(1).max(1000).default(100) }).strict();
export const changesQuery = flowWindowQuery.extend({ compareSince: instantParameter, compareUntil: instantParameter }).strict();

const party = z.object({
  identity: z.int(),
  labels: z.array(z.string()),
  namespace: z.string().optional(),
  workload: z.string().optional(),
  cluster: z.string().optional(),
  dnsNames: z.array(z.string()).optional(),
}).meta({ id: 'FlowParty' });

const connection = z.object({
  source: party,
  destination: party,
  port: z.int(),
  protocol: z.string(),
  flowsByVerdict: z.object(Object.fromEntries(verdicts.map((verdict) => [verdict, z.int().optional()]))),
  flows: z.int().describe('Connections begun and denied packets reported'),
  packets: z.int(),
  bytes: z.int(),
  replyBytes: z.int(),
  flowsPerSecond: z.number(),
  bytesPerSecond: z.number(),
  http: z.object({ requests: z.int(), requestsPerSecond: z.number(), errorRate: z.number(), p50Us: z.int().optional(), p95Us: z.int().optional(), p99Us: z.int().optional() }).optional(),
}).meta({ id: 'ServiceConnection' });

const talker = z.object({ party, sent: z.int(), received: z.int() }).meta({ id: 'Talker' });

const cause = z.object({
  reason: z.enum([...(Object.keys(DROP_REASON) as [keyof typeof DROP_REASON]), 'unknown']),
  verdict: z.enum(verdicts),
  policies: z.array(flowPolicyView),
  flows: z.int(),
  packets: z.int(),
  bytes: z.int(),
  examples: z.array(z.object({ source: party, destination: party, port: z.int(), protocol: z.string(), flows: z.int() })),
}).meta({ id: 'DropCause' });

const change = z.object({
  change: z.enum(['appeared', 'disappeared', 'verdict', 'rate']),
  source: party,
  destination: party,
  port: z.int(),
  protocol: z.string(),
  before: connection.optional(),
  after: connection.optional(),
}).meta({ id: 'ConnectionChange' });

function summarySchema<Item extends z.ZodType>(id: string, item: Item) {
  return z.object({
    items: z.array(item),
    beyond: z.object({ edges: z.int(), flows: z.int(), bytes: z.int() }).describe('Sums of what is not told apart here'),
    coverage: flowCoverageView,
  }).meta({ id });
}

const dnsName = z.object({
  query: z.string(),
  lookups: z.int(),
  failureRate: z.number().describe('Share of the answers that were no success; 0 to 1'),
  byRcode: z.record(z.string(), z.int()).describe('Answers by response code; 0 is success, 3 no such name'),
  clients: z.int().describe('Different asking ends'),
  addresses: z.array(z.string()).describe('Up to 20 of the addresses in the answers'),
  p50Us: z.int().optional(),
  p95Us: z.int().optional(),
  p99Us: z.int().optional(),
  lastSeen: z.iso.datetime({ precision: 6 }),
}).meta({ id: 'DnsName' });

export const dnsNamesSchema = z.object({
  items: z.array(dnsName),
  beyond: z.object({ names: z.int(), lookups: z.int() }).describe('Names that are not told apart here'),
  coverage: flowCoverageView,
}).meta({ id: 'DnsNames' });

export const serviceMapSchema = summarySchema('ServiceMap', connection);
export const topTalkersSchema = summarySchema('TopTalkers', talker);
export const dropCausesSchema = summarySchema('DropCauses', cause);
export const changesSchema = summarySchema('FlowChanges', change);

function partyView({ labels, dnsNames, ...rest }: FlowParty): z.output<typeof party> {
  return { ...rest, labels: [...labels], ...(dnsNames === undefined ? {} : { dnsNames: [...dnsNames] }) };
}

function ends<Item extends { readonly source: FlowParty; readonly destination: FlowParty; readonly protocol: number }>({ source, destination, protocol, ...rest }: Item) {
  return { ...rest, source: partyView(source), destination: partyView(destination), protocol: protocolName(protocol) };
}

export function connectionView(one: ServiceConnection): z.output<typeof connection> {
  return { ...ends(one), flowsByVerdict: { ...one.flowsByVerdict } };
}

export function talkerView(one: Talker): z.output<typeof talker> {
  return { ...one, party: partyView(one.party) };
}

export function causeView(one: DropCause): z.output<typeof cause> {
  return { ...one, policies: one.policies.map((policy) => ({ ...policy })), examples: one.examples.map((example) => ends(example)) };
}

export function changeView({ before, after, ...one }: ConnectionChange): z.output<typeof change> {
  return { ...ends(one), ...(before === undefined ? {} : { before: connectionView(before) }), ...(after === undefined ? {} : { after: connectionView(after) }) };
}

export function summaryView<Item, View>({ items, beyond, coverage }: FlowSummary<Item>, view: (item: Item) => View) {
  return { items: items.map(view), beyond: { ...beyond }, coverage: viewOfCoverage(coverage) };
}

export function dnsNameView(one: FlowDnsName): z.output<typeof dnsName> {
  const [p50Us, p95Us, p99Us] = [0.5, 0.95, 0.99].map((share) => latencyQuantileUs(one.latency, share));
  return {
    query: one.query, lookups: one.lookups, failureRate: dnsFailureRate(one), byRcode: { ...one.byRcode }, clients: one.clients, addresses: [...one.addresses], lastSeen: instantText(one.lastSeenUs),
    ...(p50Us === undefined ? {} : { p50Us }), ...(p95Us === undefined ? {} : { p95Us }), ...(p99Us === undefined ? {} : { p99Us }),
  };
}
