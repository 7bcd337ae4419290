import { compareStatements, verifyNodeObservation, type NodeObservation, type StatementPosition } from '@palisade/bundle';
import { transitionNode, type NodeProgress, type NodeReport, type NodeTarget } from '@palisade/rollout';
import type { ReportedNode, Rollout, RolloutRepository } from './rollout.ts';

const REPORT_BATCH = 2_000;

type Event = { readonly kind: string; readonly waveIndex: number; readonly nodeId: string; readonly detail: string };
type Stored = NodeProgress & { readonly nodeId: string; readonly change: number; readonly heard?: StatementPosition };

/**
 * Takes what nodes of opened waves have said since into account. Only what the node itself signed counts, and nothing
 * that it said before what was read already: the gateway is believed in neither direction.
 * @returns true when more reports wait than one batch takes
 */
export async function takeReports(rollouts: RolloutRepository, rollout: Rollout, nowMs: number): Promise<boolean> {
  const batch = await rollouts.reported(rollout.id, REPORT_BATCH);
  const stored: Stored[] = [];
  const events: Event[] = [];
  for (const node of batch) {
    const taken = takeReport(rollout, node, nowMs);
    stored.push(taken.stored);
    events.push(...taken.events.map((event) => ({ ...event, waveIndex: node.waveIndex, nodeId: node.nodeId })));
  }
  await rollouts.storeNodes(rollout.id, stored);
  await rollouts.record(rollout.id, events);
  return batch.length === REPORT_BATCH;
}

function takeReport(rollout: Rollout, node: ReportedNode, nowMs: number): { readonly stored: Stored; readonly events: readonly Pick<Event, 'kind' | 'detail'>[] } {
  const { nodeId, change, state, leaseUntilMs, reason } = node;
  const unchanged: Stored = { nodeId, change, state, leaseUntilMs, reason };
  const heard = hear(node);
  if (!heard.ok) return { stored: unchanged, events: [{ kind: 'report-refused', detail: heard.why }] };
  const heardAt = { boot: heard.observation.boot, sequence: heard.observation.sequence };
  const target = targetOf(rollout, node.arch);
  if (target === undefined) return { stored: { ...unchanged, heard: heardAt }, events: [] };
  const report = reportOf(heard.observation);
  const { progress, decisions } = transitionNode(node, { kind: 'report', report, target, leaseMs: rollout.leaseMs }, nowMs);
  const events: Pick<Event, 'kind' | 'detail'>[] = [];
  if (progress.state !== state && (progress.state === 'failed' || progress.state === 'reverted')) events.push({ kind: `node-${progress.state}`, detail: progress.reason ?? '' });
  const late = decisions[0]?.why;
  if (late !== undefined && ['timed_out', 'superseded', 'failed', 'reverted'].includes(state)) events.push({ kind: 'late-report', detail: `${report.state}: ${late}` });
  return { stored: { nodeId, change, heard: heardAt, state: progress.state, leaseUntilMs: progress.leaseUntilMs, reason: progress.reason }, events };
}

function hear(node: ReportedNode): { readonly ok: true; readonly observation: NodeObservation } | { readonly ok: false; readonly why: string } {
  if (node.envelope === null) return { ok: false, why: 'The node has not signed what it reported, so it does not count.' };
  const read = verifyNodeObservation(node.envelope, node.publicKey, node.nodeId);
  if (!read.ok) return { ok: false, why: `What was reported is not the node's own word: ${read.message}.` };
  if (compareStatements(read.observation, node.heard) < 0) return { ok: false, why: 'An older report of the node was brought again, so it does not count.' };
  return read;
}

function targetOf(rollout: Rollout, arch: string): NodeTarget | undefined {
  const content = rollout.target?.byArch[arch];
  return rollout.target === null || content === undefined ? undefined : { generation: rollout.target.generation, contentDigest: content.contentDigest };
}

function reportOf({ generation, subjectGeneration, contentDigest, state, reason }: NodeObservation): NodeReport {
  const small = (value: NodeObservation['generation']) => (value === null ? null : { epoch: Number(value.epoch), n: Number(value.n) });
  // PostgreSQL text holds no NUL.
  return { generation: small(generation), subjectGeneration: small(subjectGeneration), contentDigest, state, reason: reason.replaceAll('\0', '\u{FFFD}') };
}
