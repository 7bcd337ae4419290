import type { CheckInRecord, ObservedState } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { NodeBundleState, type CheckInRequest, type Generation, type Observed } from '@palisade/protocol';
import type { CertifiedNode } from '../tls/node-of-request.ts';

const STATES: Readonly<Record<number, ObservedState['state']>> = {
  [NodeBundleState.VERIFIED]: 'verified',
  [NodeBundleState.LOADED]: 'loaded',
  [NodeBundleState.HEALTHY]: 'healthy',
  [NodeBundleState.FAILED]: 'failed',
  [NodeBundleState.REVERTED]: 'reverted',
};
const REASON_LIMIT = 8192;
const MAX_GAPS = 64;
const MAX_ACTS = 64;
const OBSERVATION_BYTES = 64 * 1024;

/** What is stored of a check-in. @throws DomainError `request.invalid` */
export function checkInRecord(node: CertifiedNode, message: CheckInRequest): CheckInRecord {
  return {
    nodeId: node.nodeId,
    clusterId: node.clusterId,
    serial: node.serial,
    bootId: text(message.bootId, 128),
    observed: observedState(message.observed),
    agentVersion: message.node === undefined ? null : text(message.node.agentVersion, 64),
    endpointReport: message.endpointReport.byteLength === 0 ? null : message.endpointReport,
    signedObservation: signedObservation(message.observation),
  };
}

function signedObservation(envelope: Uint8Array): Uint8Array | null {
  if (envelope.byteLength > OBSERVATION_BYTES) throw new DomainError('request.too-large', `A signed observation has at most ${OBSERVATION_BYTES} bytes.`, { pointer: '/observation' });
  return envelope.byteLength === 0 ? null : envelope;
}

function observedState(observed: Observed | undefined): ObservedState {
  return {
    generation: generation(observed?.generation),
    contentDigest: digest(observed?.contentDigest ?? ''),
    state: STATES[observed?.state ?? 0] ?? 'none',
    subjectGeneration: generation(observed?.subjectGeneration),
    reason: text(observed?.reason ?? '', REASON_LIMIT),
    policyRevision: safe(observed?.policyRevision ?? 0n),
    identityRevision: safe(observed?.identityRevision ?? 0n),
    endpointsProtected: observed?.endpointsProtected ?? 0,
    endpointsUnprotected: observed?.endpointsUnprotected ?? 0,
    gaps: (observed?.gaps ?? []).slice(0, MAX_GAPS).map(({ key, reason }) => ({ key: text(key, 256), reason: text(reason, 512) })),
    ...(observed !== undefined && observed.longestUnprotectedUs > 0n && { longestUnprotectedMs: safe(observed.longestUnprotectedUs) / 1000 }),
    deniedPackets: safe(observed?.deniedPackets ?? 0n),
    localActs: (observed?.localActs ?? []).slice(0, MAX_ACTS).map((act) => ({ kind: text(act.kind, 64), atMs: safe(act.atMs < 0n ? 0n : act.atMs), detail: text(act.detail, 512) })),
    disabledUntilMs: observed === undefined || observed.disabledUntilMs <= 0n ? null : safe(observed.disabledUntilMs),
  };
}

function generation(value: Generation | undefined): ObservedState['generation'] {
  return value === undefined || (value.epoch === 0n && value.n === 0n) ? null : { epoch: safe(value.epoch), n: safe(value.n) };
}

function digest(value: string): string {
  if (value !== '' && !/^[0-9a-f]{64}$/.test(value)) throw new DomainError('request.invalid', 'A content digest is 64 lower-case hex digits.', { pointer: '/observed/content_digest' });
  return value;
}

/** PostgreSQL text holds no NUL and no lone surrogate. */
function text(value: string, limit: number): string {
  return value.slice(0, limit).replaceAll('\0', '\u{FFFD}').toWellFormed();
}

function safe(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}
