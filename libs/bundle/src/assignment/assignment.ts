import { BundleError } from '../bundle-error.ts';
import { canonicalJson } from '../canonical/canonical-json.ts';
import { formatTime, JsonReader } from '../canonical/json-reader.ts';
import { compareGenerations, formatGeneration, type Generation } from '../generation.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { encodeGeneration, readGeneration } from '../manifest/manifest.ts';
import { openEnvelope, signEnvelope } from '../signing/dsse.ts';
import type { Signer } from '../signing/signer.ts';
import type { TrustedState } from '../tuf/trusted-state.ts';
import { merkleRootFromPath, merkleTree } from './merkle-tree.ts';

export const ASSIGNMENT_PAYLOAD_TYPE = 'application/vnd.palisade.assignment.v1+json';

/** One node of a wave and the manifest it is to load. */
export interface NodeAssignment {
  readonly nodeId: string;
  /** Of the manifest envelope, hex. */
  readonly manifestSha256: string;
}

/**
 * One director signature for a whole wave: the Merkle root over its nodes. Without the proof of a leaf of its own a node
 * loads nothing, so a gateway cannot bring a canary's generation to nodes that the wave has not reached.
 */
export interface AssignmentInput {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly generation: Generation;
  /** Unix milliseconds. */
  readonly expiresMs: number;
  readonly nodes: readonly NodeAssignment[];
}

/** What a node is handed with the offer; the wire carries it in `Desired`. */
export interface AssignmentProof {
  /** DSSE envelope, shared by the wave. */
  readonly envelope: Uint8Array;
  readonly leafIndex: number;
  /** Audit path, 32 bytes each, bottom up. */
  readonly path: readonly Uint8Array[];
}

/** Signs a wave. @returns nodeId → proof; the envelope is the same bytes in all of them */
export async function sealAssignment(input: AssignmentInput, director: readonly Signer[]): Promise<ReadonlyMap<string, AssignmentProof>> {
  const nodes = [...input.nodes].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
  const tree = merkleTree(nodes.map((node) => leaf(node.nodeId, node.manifestSha256, input.generation)));
  const envelope = await signEnvelope(
    ASSIGNMENT_PAYLOAD_TYPE,
    canonicalJson({
      tenant: input.tenantId,
      cluster: input.clusterId,
      generation: encodeGeneration(input.generation),
      leaves: nodes.length,
      root: Buffer.from(tree.root).toString('hex'),
      expires: formatTime(input.expiresMs),
    }),
    director,
  );
  return new Map(nodes.map((node, leafIndex) => [node.nodeId, { envelope, leafIndex, path: tree.paths[leafIndex] ?? [] }]));
}

/** @throws BundleError `not-assigned`, `expired`, or a code of form or signature */
export function assertAssigned(
  state: TrustedState,
  proof: AssignmentProof,
  wanted: { readonly tenantId: string; readonly clusterId: string; readonly nodeId: string; readonly generation: Generation; readonly manifestSha256: string },
  nowMs: number,
): void {
  const { payload } = openEnvelope(proof.envelope, {
    payloadType: ASSIGNMENT_PAYLOAD_TYPE,
    authority: state.root.signed.roles.director,
    maxBytes: BUNDLE_LIMITS.assignmentBytes,
    what: 'the assignment',
  });
  const reader = new JsonReader(payload);
  reader.object(['tenant', 'cluster', 'generation', 'leaves', 'root', 'expires']);
  if (reader.member('tenant').string() !== wanted.tenantId || reader.member('cluster').string() !== wanted.clusterId) {
    throw new BundleError('wrong-cluster', 'the assignment is for another cluster');
  }
  const generation = readGeneration(reader.member('generation'));
  if (compareGenerations(generation, wanted.generation) !== 0) {
    throw new BundleError('not-assigned', `the assignment is for generation ${formatGeneration(generation)}, not ${formatGeneration(wanted.generation)}`);
  }
  if (reader.member('expires').time() <= nowMs) throw new BundleError('expired', 'the assignment has expired');
  const size = reader.member('leaves').integer({ min: 0, max: 1_000_000 });
  const root = merkleRootFromPath(leaf(wanted.nodeId, wanted.manifestSha256, generation), proof.leafIndex, size, proof.path);
  if (root === undefined || Buffer.from(root).toString('hex') !== reader.member('root').sha256()) {
    throw new BundleError('not-assigned', `the director has not assigned this manifest to node ${wanted.nodeId}`);
  }
}

function leaf(nodeId: string, manifestSha256: string, generation: Generation): Uint8Array {
  return canonicalJson({ node: nodeId, manifest: manifestSha256, generation: encodeGeneration(generation) });
}
