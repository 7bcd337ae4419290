import type { VerdictAnswer } from '@palisade/control';
import { renderExplanation, type FlowEnd, type FlowQuery } from '@palisade/policy';
import { z } from 'zod';

const text = z.string().min(1).max(512);

const end = z
  .union([
    z.strictObject({ workload: text }),
    z.strictObject({ node: text }),
    z.strictObject({ address: z.union([z.ipv4(), z.ipv6()]), network: text.optional(), names: z.array(text).max(100).optional() }),
    z.strictObject({
      entity: z.enum(['world', 'world-ipv4', 'world-ipv6', 'host', 'remote-node', 'kube-apiserver', 'health', 'init', 'unmanaged', 'ingress']),
      address: z.union([z.ipv4(), z.ipv6()]).optional(),
    }),
  ])
  .meta({ id: 'VerdictEnd' });

const http = z.strictObject({ method: text, path: z.string().max(8_192), host: z.string().max(512), headers: z.record(z.string(), z.string().max(8_192)).optional() });

export const verdictQuestionSchema = z
  .strictObject({
    source: end,
    destination: end,
    protocol: z.enum(['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6']),
    port: z.int().min(0).max(65_535).optional(),
    icmpType: z.int().min(0).max(255).optional(),
    http: http.optional(),
    dns: z.strictObject({ query: text }).optional(),
    policyRevision: z.int().min(0).optional(),
  })
  .refine(({ protocol, port }) => !['TCP', 'UDP', 'SCTP'].includes(protocol) || port !== undefined, { path: ['port'], message: 'TCP, UDP and SCTP need the destination port' })
  .meta({ id: 'VerdictQuestion' });

const verdict = z.enum(['allow', 'deny', 'audit']);

const reference = z
  .object({ kind: z.string(), namespace: z.string().optional(), name: z.string(), revision: z.int(), index: z.int().optional(), tier: z.enum(['admin', 'normal', 'baseline']).optional() })
  .meta({ id: 'PolicyReference' });

const direction = z
  .object({
    direction: z.enum(['ingress', 'egress']),
    verdict,
    connection: z.enum(['allow', 'deny', 'audit', 'l7']),
    reason: z.string(),
    because: z.string(),
    subject: z.string(),
    peer: z.string(),
    ruleId: z.int(),
    policies: z.array(reference),
    selectedBy: z.array(reference),
    nearest: z.object({ rule: reference, because: z.string() }).optional(),
    log: z.string().optional(),
  })
  .meta({ id: 'DirectionVerdict' });

export const verdictSchema = z
  .object({ verdict, summary: z.string(), text: z.string(), policyRevision: z.int(), identityRevision: z.int(), egress: direction, ingress: direction })
  .meta({ id: 'Verdict' });

export function toFlowQuery(question: z.output<typeof verdictQuestionSchema>): FlowQuery {
  const { policyRevision: _, source, destination, protocol, port, icmpType, http: request, dns } = question;
  return {
    source: toFlowEnd(source),
    destination: toFlowEnd(destination),
    protocol,
    ...(port === undefined ? {} : { port }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(request === undefined ? {} : { http: { method: request.method, path: request.path, host: request.host, ...(request.headers === undefined ? {} : { headers: request.headers }) } }),
    ...(dns === undefined ? {} : { dns }),
  };
}

function toFlowEnd(given: z.output<typeof end>): FlowEnd {
  if ('entity' in given) return { entity: given.entity, ...(given.address === undefined ? {} : { address: given.address }) };
  if (!('address' in given)) return given;
  return { address: given.address, ...(given.network === undefined ? {} : { network: given.network }), ...(given.names === undefined ? {} : { names: given.names }) };
}

export function verdictView({ policyRevision, identityRevision, explanation }: VerdictAnswer) {
  return { ...explanation, text: renderExplanation(explanation), policyRevision, identityRevision };
}
