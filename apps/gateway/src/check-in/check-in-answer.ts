import type { DesiredGeneration } from '@palisade/control';
import { CheckInResponseSchema, encodeMessage } from '@palisade/protocol';
import type { ClusterState } from './cluster-news.ts';

export interface CheckInAnswer extends ClusterState {
  /** Names everything in the answer but the node's own proof. */
  readonly token: string;
  readonly desired: DesiredGeneration | null;
  /** Envelope of the wave's assignment; present with `desired`. */
  readonly assignment: Uint8Array | undefined;
  readonly reconnectWindowMs: number;
}

const PREPARED_LIMIT = 64;

/**
 * Encodes answers. What all nodes of a wave are told alike is encoded once and kept as bytes; each node's own part, its
 * proof and the time, is appended. A field that occurs twice in an encoded message is merged by every decoder: the later
 * scalar counts, and an embedded message is the union of both (Protocol Buffers, "Last One Wins", "Embedded Messages").
 */
export class CheckInAnswers {
  readonly #prepared = new Map<string, Uint8Array>();

  encode(answer: CheckInAnswer, nowMs: number): Uint8Array {
    const { desired, assignment } = answer;
    const own = encodeMessage(CheckInResponseSchema, {
      serverTimeMs: BigInt(nowMs),
      ...(desired !== null && assignment !== undefined && { desired: { leafIndex: BigInt(desired.leafIndex), assignmentPath: auditPath(desired.proof) } }),
    });
    return Buffer.concat([this.#alike(answer), own]);
  }

  #alike(answer: CheckInAnswer): Uint8Array {
    const key = `${answer.token} ${answer.reconnectWindowMs} ${answer.assignment === undefined}`;
    const known = this.#prepared.get(key);
    if (known !== undefined) return known;
    const prepared = encodeAlike(answer);
    this.#prepared.set(key, prepared);
    if (this.#prepared.size > PREPARED_LIMIT) this.#prepared.delete(this.#prepared.keys().next().value!);
    return prepared;
  }
}

function encodeAlike({ token, desired, assignment, identityRevision, rootVersion, epoch, reconnectWindowMs }: CheckInAnswer): Uint8Array {
  return encodeMessage(CheckInResponseSchema, {
    ackToken: token,
    ...(desired !== null &&
      assignment !== undefined && {
        desired: { generation: { epoch: BigInt(desired.epoch), n: BigInt(desired.n) }, contentDigest: desired.contentDigest, manifestSha256: desired.manifestSha256, assignment },
      }),
    identityRevision: BigInt(identityRevision),
    pollAfterMs: 0,
    rootVersion: BigInt(rootVersion),
    epoch: BigInt(epoch),
    reconnectWindowMs,
  });
}

function auditPath(proof: Uint8Array): Uint8Array[] {
  return Array.from({ length: proof.byteLength / 32 }, (_, index) => proof.subarray(index * 32, (index + 1) * 32));
}
