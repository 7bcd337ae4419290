import { BundleError, rejectionOf, type Rejection } from '../bundle-error.ts';
import { canonicalJson } from '../canonical/canonical-json.ts';
import { JsonReader } from '../canonical/json-reader.ts';
import type { Generation } from '../generation.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { encodeGeneration, readGeneration } from '../manifest/manifest.ts';
import { openEnvelope, signEnvelope } from '../signing/dsse.ts';
import { enrolledAuthority, type EnrolledKey } from '../signing/enrolled-key.ts';
import type { Signer } from '../signing/signer.ts';

export const OBSERVATION_PAYLOAD_TYPE = 'application/vnd.palisade.observation+json';

export const OBSERVED_STATES = ['none', 'verified', 'loaded', 'healthy', 'failed', 'reverted'] as const;
export type ObservedBundleState = (typeof OBSERVED_STATES)[number];

/** Reasons are cut to this many UTF-16 code units, the end kept: a verifier log says why in its last lines. */
const REASON_LENGTH = 8192;

/** Where a statement stands among the others of its node: by boot, then by sequence. */
export interface StatementPosition {
  /** Counts the starts of the agent; rises, also over a restored disk (it is never less than the clock's seconds were). */
  readonly boot: number;
  /** Rises within one boot. */
  readonly sequence: number;
}

/** What a node says of the bundle it runs, read back from its kernel. What moves a rollout is this and nothing else. */
export interface NodeObservation extends StatementPosition {
  readonly nodeId: string;
  readonly bootId: string;
  /** The running generation; null before the first. */
  readonly generation: Generation | null;
  /** Of what runs, lower-case hex; empty before the first. */
  readonly contentDigest: string;
  readonly state: ObservedBundleState;
  /** The generation that `state` and `reason` speak of, where it is not the running one. */
  readonly subjectGeneration: Generation | null;
  readonly reason: string;
  /** Packets denied since boot. */
  readonly deniedPackets: bigint;
}

/** Negative: `a` was said before `b`. */
export function compareStatements(a: StatementPosition, b: StatementPosition): number {
  return a.boot - b.boot || a.sequence - b.sequence;
}

/** Signs an observation with the node's enrolled key. @returns the DSSE envelope for `CheckInRequest.observation` */
export async function sealNodeObservation(observation: NodeObservation, node: Signer): Promise<Uint8Array> {
  const { generation, subjectGeneration } = observation;
  const payload = canonicalJson({
    node: observation.nodeId,
    boot: observation.boot,
    boot_id: observation.bootId,
    sequence: observation.sequence,
    ...(generation !== null && { generation: encodeGeneration(generation) }),
    content_digest: observation.contentDigest,
    state: observation.state,
    ...(subjectGeneration !== null && { subject_generation: encodeGeneration(subjectGeneration) }),
    reason: observation.reason.slice(-REASON_LENGTH).toWellFormed(),
    denied_packets: String(observation.deniedPackets),
  });
  return signEnvelope(OBSERVATION_PAYLOAD_TYPE, payload, [node]);
}

/**
 * The worker's side: the observation must be signed by the key that this node enrolled with, and name this node. That
 * it is not an old one is for the caller to see, by `compareStatements`.
 */
export function verifyNodeObservation(envelope: Uint8Array, enrolledKey: EnrolledKey, nodeId: string): { readonly ok: true; readonly observation: NodeObservation } | Rejection {
  return rejectionOf(() => {
    const { payload } = openEnvelope(envelope, {
      payloadType: OBSERVATION_PAYLOAD_TYPE,
      authority: enrolledAuthority(enrolledKey),
      maxBytes: BUNDLE_LIMITS.observationBytes,
      what: 'the observation',
    });
    const observation = read(new JsonReader(payload));
    if (observation.nodeId !== nodeId) throw new BundleError('wrong-cluster', 'the observation names another node');
    return { ok: true as const, observation };
  });
}

function read(reader: JsonReader): NodeObservation {
  reader.object(['node', 'boot', 'boot_id', 'sequence', 'generation', 'content_digest', 'state', 'subject_generation', 'reason', 'denied_packets']);
  const generation = reader.member('generation');
  const subject = reader.member('subject_generation');
  return {
    nodeId: reader.member('node').string(),
    boot: reader.member('boot').integer(),
    bootId: reader.member('boot_id').string(),
    sequence: reader.member('sequence').integer(),
    generation: generation.absent ? null : readGeneration(generation),
    contentDigest: reader.member('content_digest').string(/^([0-9a-f]{64})?$/),
    state: reader.member('state').oneOf(OBSERVED_STATES),
    subjectGeneration: subject.absent ? null : readGeneration(subject),
    reason: reader.member('reason').string(undefined, REASON_LENGTH),
    deniedPackets: reader.member('denied_packets').u64(),
  };
}
