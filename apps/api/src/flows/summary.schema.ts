import type { FlowSummary } from '@palisade/control';
import { DROP_REASON, VERDICT, type ConnectionChange, type DropCause, type FlowParty, type ServiceConnection, type Talker, type Verdict } from '@palisade/flow';
import { z } from 'zod';
import { flowWindowQuery, instantParameter } from './flow-query.ts';
import { flowCoverageView, flowPolicyView, protocolName, viewOfCoverage } from './flow-view.ts';

const verdicts = Object.keys(VERDICT) as [Verdict, ...Verdict[]];

export const windowQuery = flowWindowQuery.strict();
export const talkersQuery = flowWindowQuery.extend({
  measure: z.enum(['bytes', 'packets', 'flows']).default('bytes'),
  limit: z.coerce.number().int().min(1).max(500).default(20),
}).strict();
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
