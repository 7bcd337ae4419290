import type { FlowSinkRecord } from '@palisade/control';
import { z } from 'zod';
import { pageSchema } from '../paging/page.ts';

const endpoint = z.url({ protocol: /^https?$/ }).max(500).refine((text) => !/[?#]/.test(text) && URL.parse(text)?.username === '', 'takes no query, fragment or user: put credentials into headers')
  .describe('Base of OTLP/HTTP: /v1/logs and /v1/metrics are added. Must be https and public unless the operator allows otherwise');
/** Names as RFC 9110 §5.6.2; values without line breaks. What OTLP/HTTP sets itself is not a sink's to set. */
const headers = z.record(z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/), z.string().max(2000).regex(/^[\t\x20-\x7e]*$/))
  .refine((all) => Object.keys(all).length <= 20, 'has at most 20 headers')
  .refine((all) => !Object.keys(all).some((name) => /^(host|content-.*|transfer-encoding|connection)$/i.test(name)), 'must not set host, content-*, connection or transfer-encoding')
  .describe('Sent with every request, for credentials; never shown again');

export const newFlowSinkSchema = z.strictObject({ name: z.string().min(1).max(100), endpoint, headers: headers.default({}), logs: z.boolean().default(true), metrics: z.boolean().default(true) }).meta({ id: 'NewFlowSink' });
export const flowSinkChangeSchema = z.strictObject({ endpoint: endpoint.optional(), headers: headers.optional(), logs: z.boolean().optional(), metrics: z.boolean().optional(), enabled: z.boolean().optional() }).meta({ id: 'FlowSinkChange' });

export const flowSinkSchema = z.object({
  id: z.string(),
  name: z.string(),
  endpoint: z.string(),
  headerNames: z.array(z.string()),
  logs: z.boolean().describe('Every flow as a log record'),
  metrics: z.boolean().describe("Hubble's metrics, once a minute"),
  enabled: z.boolean(),
  version: z.int(),
  createdBy: z.string(),
  createdAt: z.iso.datetime(),
  sentFlows: z.int(),
  rejectedFlows: z.int().describe('Refused by the receiver for good, and passed over'),
  sentUntil: z.iso.datetime().optional().describe('Last packet of the newest flow that was sent'),
  caughtUpAt: z.iso.datetime().optional().describe('When nothing waited last: what was stored since is the backlog'),
  metricsAt: z.iso.datetime().optional(),
  failingSince: z.iso.datetime().optional(),
  lastError: z.string().optional(),
  nextAttemptAt: z.iso.datetime(),
}).meta({ id: 'FlowSink' });
export const flowSinkPageSchema = pageSchema('FlowSinkPage', flowSinkSchema);

export function flowSinkView({ headerNames, createdAt, sentUntil, caughtUpAt, metricsAt, failingSince, nextAttemptAt, ...sink }: FlowSinkRecord): z.output<typeof flowSinkSchema> {
  const times = { sentUntil, caughtUpAt, metricsAt, failingSince };
  return {
    ...sink, headerNames: [...headerNames], createdAt: createdAt.toISOString(), nextAttemptAt: nextAttemptAt.toISOString(),
    ...Object.fromEntries(Object.entries(times).flatMap(([name, time]) => (time === undefined ? [] : [[name, time.toISOString()]]))),
  };
}
