import type { FlowPosition, FlowReader, ReplayedEdge, ReplayReport, StoredFlow } from '@palisade/control';
import type { FlowEnd as RecordedEnd } from '@palisade/flow';
import { PROTOCOL_NUMBER, RESERVED_IDENTITY, simulate, type ClusterFacts, type FlowEnd, type FlowVerdict, type PolicyReference, type PolicySet, type Protocol, type RecordedFlow, type SimulatedChange } from '@palisade/policy';
import type { TenantContext } from '@palisade/tenancy';

const HOURS = 24;
const PAGE = 1_000;
const MAX_FLOWS = 20_000;
const MAX_EDGES = 200;

const PROTOCOL_NAME = new Map<number, Protocol>((Object.keys(PROTOCOL_NUMBER) as Protocol[]).map((name) => [PROTOCOL_NUMBER[name], name]));
const BEFORE: Readonly<Record<string, FlowVerdict>> = { forwarded: 'allow', redirected: 'allow', dropped: 'deny', audit: 'audit' };
/** Drops that no policy decided say nothing about policy. */
const POLICY_DROPS: readonly (string | undefined)[] = ['policy-denied', 'policy-denied-by-rule', undefined];
const SELECTION = { allow: [{ events: ['new', 'delta', 'closed', 'dropped'] as const }], deny: [{ reply: true }] };

/**
 * Replays the newest flows of the last day on the candidate, as it would decide: policies in mode `observe` audit, those in
 * mode `shadow` do nothing. A flow store that does not answer refuses no rollout; the report says so.
 */
export async function replayFlows(flows: FlowReader, context: TenantContext, clusterId: string, policies: PolicySet, facts: ClusterFacts, nowMs: number): Promise<ReplayReport> {
  let recorded: { readonly flows: readonly StoredFlow[]; readonly complete: boolean };
  try {
    recorded = await read(flows, context, clusterId, nowMs);
  } catch (error) {
    return { outcome: 'unavailable', why: `The flow store did not answer: ${error instanceof Error ? error.message : String(error)}` };
  }
  const ends = endsOf(facts);
  const { replayed, unchanged, unresolved, changes, furtherChanged } = simulate(policies, facts, recorded.flows.flatMap((flow) => toRecorded(flow, ends)), { policies: 'live' });
  const denied = changes.filter(({ after }) => after === 'deny').map(toEdge);
  const allowed = changes.filter(({ before, after }) => before === 'deny' && after !== 'deny').map(toEdge);
  const beyond = Math.max(0, denied.length - MAX_EDGES) + Math.max(0, allowed.length - MAX_EDGES);
  return {
    outcome: 'replayed',
    sinceHours: HOURS,
    complete: recorded.complete,
    flows: replayed,
    unchanged,
    unresolved,
    newlyDenied: denied.slice(0, MAX_EDGES),
    newlyAllowed: allowed.slice(0, MAX_EDGES),
    further: beyond + furtherChanged,
  };
}

async function read(flows: FlowReader, context: TenantContext, clusterId: string, nowMs: number): Promise<{ readonly flows: readonly StoredFlow[]; readonly complete: boolean }> {
  const found: StoredFlow[] = [];
  let after: FlowPosition | undefined;
  do {
    const page = await flows.list(context, { clusterId, selection: SELECTION, sinceUs: (nowMs - HOURS * 3_600_000) * 1000, untilUs: nowMs * 1000, order: 'newest', limit: PAGE, ...(after && { after }) });
    found.push(...page.flows);
    after = page.next;
  } while (after !== undefined && found.length < MAX_FLOWS);
  return { flows: found, complete: after === undefined };
}

/** `namespace/name` → workload key, as flows name workloads. */
function endsOf(facts: ClusterFacts): (end: RecordedEnd) => FlowEnd {
  const keys = new Map(facts.workloads.map(({ key }) => [key.split('/').slice(1).join('/'), key]));
  const nodes = new Set(facts.nodes.map(({ name }) => name));
  return (end) => {
    const key = end.workload === undefined ? undefined : keys.get(end.namespace === undefined ? end.workload : `${end.namespace}/${end.workload}`);
    if (key !== undefined) return { workload: key };
    const isNode = end.identity === RESERVED_IDENTITY.host || end.identity === RESERVED_IDENTITY['remote-node'];
    if (isNode && end.node !== undefined && nodes.has(end.node)) return { node: end.node };
    return { address: end.address, ...(end.dnsNames !== undefined && { names: end.dnsNames }) };
  };
}

function toRecorded(flow: StoredFlow, endOf: (end: RecordedEnd) => FlowEnd): RecordedFlow[] {
  const protocol = PROTOCOL_NAME.get(flow.protocol);
  const verdict = BEFORE[flow.verdict];
  if (protocol === undefined || verdict === undefined || !POLICY_DROPS.includes(flow.dropReason)) return [];
  const icmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  const { port } = flow.destination;
  const query = { source: endOf(flow.source), destination: endOf(flow.destination), protocol, ...(icmp ? { icmpType: port } : { port }) };
  return [{ flow: query, verdict, direction: flow.direction, weight: flow.weight, id: flow.id }];
}

function toEdge({ flow, direction, before, after, verdict, weight, examples }: SimulatedChange): ReplayedEdge {
  return {
    source: endText(flow.source),
    destination: endText(flow.destination),
    direction,
    protocol: flow.protocol,
    port: flow.port ?? flow.icmpType ?? null,
    before,
    after,
    flows: weight,
    policies: verdict.policies.slice(0, 10).map(policyText),
    examples,
  };
}

function endText(end: FlowEnd): string {
  if ('workload' in end) return end.workload;
  if ('node' in end) return `node/${end.node}`;
  if ('entity' in end) return end.entity;
  return end.names === undefined || end.names.length === 0 ? end.address : `${end.address} (${end.names.slice(0, 3).join(', ')})`;
}

function policyText({ kind, namespace, name, index }: PolicyReference): string {
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}${index === undefined ? '' : ` rule ${index}`}`;
}
