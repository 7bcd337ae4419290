import {
  DROP_REASON,
  FLOW_DIRECTION,
  FLOW_EVENT,
  parseLabelSelector,
  parsePrefix,
  VERDICT,
  type FlowEndFilter,
  type FlowFilter,
  type FlowPolicyFilter,
  type FlowSelection,
} from '@palisade/flow';
import { PROTOCOL_NUMBER } from '@palisade/policy';
import { isDomainError } from '@palisade/errors';
import { z } from 'zod';
import { fieldsParameter } from './flow-fields.ts';
import { instantUs } from './instant.ts';

const MAX_VALUES = 50;

/** One value, a comma-separated list, or the parameter repeated: alternatives. */
function list<Value>(item: z.ZodType<Value, string>) {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((given) => (typeof given === 'string' ? [given] : given).flatMap((text) => text.split(',')).map((text) => text.trim()))
    .pipe(z.array(item).min(1).max(MAX_VALUES))
    .optional();
}

const name = z.string().min(1).max(256);
const names = <Name extends string>(numbers: Readonly<Record<Name, number>>) => list(z.enum(Object.keys(numbers) as [Name, ...Name[]]));
const wholeNumber = (max: number) => z.string().regex(/^\d{1,10}$/, 'is no whole number').transform(Number).pipe(z.number().max(max));

/** Runs a parser of the flow room and reports what it says as a fault of this parameter. */
function parsed<Value>(parse: (text: string) => Value) {
  return z.string().max(1024).transform((text, context): Value => {
    try {
      return parse(text);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** Selectors hold commas themselves: alternatives only by repeating the parameter. */
const labels = z
  .union([z.string(), z.array(z.string())])
  .transform((given) => (typeof given === 'string' ? [given] : given))
  .pipe(z.array(parsed((text) => parseLabelSelector(text))).max(MAX_VALUES))
  .optional();

const protocol = z.string().transform((text, context): number => {
  const known = Object.entries(PROTOCOL_NUMBER).find(([key]) => key.toLowerCase() === text.toLowerCase());
  if (known !== undefined) return known[1];
  if (/^\d{1,3}$/.test(text) && Number(text) < 256) return Number(text);
  context.addIssue({ code: 'custom', message: `is no protocol: use ${Object.keys(PROTOCOL_NUMBER).join(', ')} or an IANA number` });
  return z.NEVER;
});

/** `name`, `namespace/name` or `Kind/namespace/name` (`Kind//name` for a cluster-wide policy). */
const policy = z.string().max(600).transform((text): Omit<FlowPolicyFilter, 'rule'> => {
  const parts = text.split('/');
  const [policyName = '', namespace, kind] = parts.toReversed();
  return { name: policyName, ...(namespace === undefined || namespace === '' ? {} : { namespace }), ...(kind === undefined ? {} : { kind }) };
});

/** `3`, `egress/3`, `default-deny` or `ingress/default-deny`. */
const rule = z.string().regex(/^((ingress|egress)\/)?(\d{1,5}|default-deny)$/, 'is no rule: use 3, egress/3 or default-deny').transform((text): Pick<FlowPolicyFilter, 'rule' | 'direction'> => {
  const [last = '', direction] = text.split('/').toReversed();
  return { rule: last === 'default-deny' ? last : Number(last), ...(direction === 'ingress' || direction === 'egress' ? { direction } : {}) };
});

const flag = z.enum(['true', 'false']).transform((text) => text === 'true').optional();

const FLAG_BITS: Readonly<Record<string, number>> = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32, ece: 64, cwr: 128, ns: 256 };

/** Flags that were all seen, joined by `+`: `syn+ack,rst` is SYN and ACK, or RST. */
const flagSets = list(z.string().transform((text, context): number => {
  const bits = text.toLowerCase().split('+').map((flagName) => FLAG_BITS[flagName] ?? 0);
  if (!bits.includes(0)) return bits.reduce((mask, bit) => mask | bit, 0);
  context.addIssue({ code: 'custom', message: `is no set of TCP flags: join ${Object.keys(FLAG_BITS).join(', ')} by +` });
  return z.NEVER;
}));

const endFields = {
  namespace: list(name),
  workload: list(name),
  label: labels,
  identity: list(wholeNumber(2 ** 32 - 1)),
  ip: list(parsed((text) => parsePrefix(text))),
  pod: list(name),
  clusterName: list(name),
  port: list(wholeNumber(65_535)),
  dnsName: list(name),
};
type EndField = keyof typeof endFields;

function prefixed<Prefix extends string>(prefix: Prefix) {
  type Prefixed = { [Field in EndField as `${Prefix}${Capitalize<Field>}`]: (typeof endFields)[Field] };
  return Object.fromEntries(Object.entries(endFields).map(([field, schema]) => [`${prefix}${field.charAt(0).toUpperCase()}${field.slice(1)}`, schema])) as unknown as Prefixed;
}

const filterFields = {
  ...endFields,
  ...prefixed('source'),
  ...prefixed('destination'),
  verdict: names(VERDICT),
  direction: names(FLOW_DIRECTION),
  event: names(FLOW_EVENT),
  dropReason: names(DROP_REASON),
  protocol: list(protocol),
  reply: flag,
  node: list(name),
  policy: list(policy),
  rule: list(rule),
  process: list(name),
  shadowDiffers: flag,
  shadowVerdict: names(VERDICT),
  tcpFlags: flagSets,
  layer7: list(z.enum(['http', 'dns'])),
  httpMethod: list(name),
  httpPath: list(name),
  httpStatus: list(z.string().regex(/^([1-5]\d{2}|[1-5]\d?\+)$/, 'is no status: use 404 or 5+')),
  dnsQuery: list(name),
};

const MAX_FILTERS = 20;
const oneFilter = z.object(filterFields).strict();

/** Names and values of a query string; a repeated name is a list. */
function queryParameters(text: string): Record<string, string | string[]> {
  const search = new URLSearchParams(text);
  return Object.fromEntries([...new Set(search.keys())].map((key) => [key, search.getAll(key).length > 1 ? search.getAll(key) : (search.get(key) ?? '')]));
}

/** Filters as query strings of their own, URL-encoded: `deny=namespace%3Dkube-system%26verdict%3Dforwarded`. Repeated: alternatives. */
const filters = z
  .union([z.string().max(4096), z.array(z.string().max(4096))])
  .transform((given, context): z.output<typeof oneFilter>[] => {
    const texts = typeof given === 'string' ? [given] : given;
    if (texts.length > MAX_FILTERS) context.addIssue({ code: 'custom', message: `takes at most ${MAX_FILTERS} filters` });
    return texts.slice(0, MAX_FILTERS).flatMap((text) => {
      const parameters = queryParameters(text);
      const filter = oneFilter.safeParse(parameters);
      if (filter.success && Object.keys(parameters).length > 0) return [filter.data];
      const [issue] = filter.error?.issues ?? [];
      context.addIssue({ code: 'custom', message: `'${text.slice(0, 80)}' is no filter${issue === undefined ? '' : ` (${issue.path.join('.')} ${issue.message})`}: write the same parameters as in the query, URL-encoded` });
      return [];
    });
  })
  .optional();

const selectionFields = { ...filterFields, allow: filters, deny: filters };

/**
 * Parameters that choose flows; everywhere `*` stands for any run of characters in names. Different parameters must all hold:
 * they are one filter. A flow is wanted when that filter or one of `allow` matches, and none of `deny`.
 */
export const flowFilterQuery = z.object(selectionFields);
export type FlowFilterQuery = z.output<typeof oneFilter>;
export type FlowSelectionQuery = z.output<typeof flowFilterQuery>;

/** When: RFC 3339, or a duration back from now such as `15m`, `6h`, `7d`. */
export const instantParameter = parsed((text) => instantUs(text, Date.now() * 1000)).optional();
export const flowWindowQuery = z.object({ since: instantParameter, until: instantParameter });

export const listFlowsQuery = z.object({
  ...selectionFields,
  ...flowWindowQuery.shape,
  order: z.enum(['newest', 'oldest']).default('newest'),
  limit: wholeNumber(1000).pipe(z.number().min(1)).default(100),
  cursor: z.string().max(2048).optional(),
  fields: fieldsParameter,
}).strict();
/** Follow goes on from now, from what was stored since an instant, or from a cursor that an earlier stream gave. */
export const followFlowsQuery = z.object({ ...selectionFields, since: instantParameter, cursor: z.string().max(2048).optional(), fields: fieldsParameter }).strict();
export const exportFlowsQuery = z.object({ ...selectionFields, ...flowWindowQuery.shape, format: z.enum(['ndjson', 'csv', 'ocsf', 'parquet']).default('ndjson'), resumable: flag, cursor: z.string().max(2048).optional() }).strict();
export type ListFlowsQuery = z.output<typeof listFlowsQuery>;

type EndValues = { [Field in EndField]?: z.output<(typeof endFields)[Field]> };

function endFilter(values: EndValues): FlowEndFilter | undefined {
  const filter: FlowEndFilter = {
    ...(values.namespace && { namespaces: values.namespace }),
    ...(values.workload && { workloads: values.workload }),
    ...(values.label && { labels: values.label }),
    ...(values.identity && { identities: values.identity }),
    ...(values.ip && { prefixes: values.ip }),
    ...(values.pod && { pods: values.pod }),
    ...(values.clusterName && { clusters: values.clusterName }),
    ...(values.port && { ports: values.port }),
    ...(values.dnsName && { dnsNames: values.dnsName }),
  };
  return Object.keys(filter).length === 0 ? undefined : filter;
}

function policyFilters({ policy: policies, rule: rules }: FlowFilterQuery): readonly FlowPolicyFilter[] | undefined {
  if (policies === undefined) return undefined;
  return rules === undefined ? policies : policies.flatMap((one) => rules.map((of) => ({ ...one, ...of })));
}

function ends(query: FlowFilterQuery): Pick<FlowFilter, 'source' | 'destination' | 'either'> {
  const either = endFilter(query);
  const source = endFilter({
    namespace: query.sourceNamespace, workload: query.sourceWorkload, label: query.sourceLabel, identity: query.sourceIdentity,
    ip: query.sourceIp, pod: query.sourcePod, clusterName: query.sourceClusterName, port: query.sourcePort, dnsName: query.sourceDnsName,
  });
  const destination = endFilter({
    namespace: query.destinationNamespace, workload: query.destinationWorkload, label: query.destinationLabel, identity: query.destinationIdentity,
    ip: query.destinationIp, pod: query.destinationPod, clusterName: query.destinationClusterName, port: query.destinationPort, dnsName: query.destinationDnsName,
  });
  return { ...(either && { either }), ...(source && { source }), ...(destination && { destination }) };
}

function filterOf(query: FlowFilterQuery): FlowFilter {
  const policies = policyFilters(query);
  return {
    ...ends(query),
    ...(query.verdict && { verdicts: query.verdict }),
    ...(query.direction && { directions: query.direction }),
    ...(query.event && { events: query.event }),
    ...(query.dropReason && { dropReasons: query.dropReason }),
    ...(query.protocol && { protocols: query.protocol }),
    ...(query.reply !== undefined && { reply: query.reply }),
    ...(query.node && { observers: query.node }),
    ...(policies && { policies }),
    ...(query.process && { processes: query.process }),
    ...(query.shadowDiffers !== undefined && { shadowDiffers: query.shadowDiffers }),
    ...(query.shadowVerdict && { shadowVerdicts: query.shadowVerdict }),
    ...(query.tcpFlags && { tcpFlags: query.tcpFlags }),
    ...(query.layer7 && { layer7: query.layer7 }),
    ...(query.httpMethod && { httpMethods: query.httpMethod }),
    ...(query.httpPath && { httpPaths: query.httpPath }),
    ...(query.httpStatus && { httpStatuses: query.httpStatus }),
    ...(query.dnsQuery && { dnsQueries: query.dnsQuery }),
  };
}

/** The selection that the parameters ask for. */
export function selectionOf({ allow = [], deny = [], ...query }: FlowSelectionQuery): FlowSelection {
  const own = filterOf(query);
  return { allow: [...(Object.keys(own).length === 0 ? [] : [own]), ...allow.map(filterOf)], deny: deny.map(filterOf) };
}
