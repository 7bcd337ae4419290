import { BundleError, rejectionOf, type Rejection } from '../bundle-error.ts';
import { canonicalJson } from '../canonical/canonical-json.ts';
import { JsonReader } from '../canonical/json-reader.ts';
import { formatGeneration, type Generation } from '../generation.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { openEnvelope, signEnvelope } from '../signing/dsse.ts';
import type { Signer } from '../signing/signer.ts';
import type { RootFile } from '../tuf/root.ts';
import type { Step, TrustedState } from '../tuf/trusted-state.ts';

export const RECOVERY_PAYLOAD_TYPE = 'application/vnd.palisade.epoch-recovery.v1+json';

/** Epoch of a cluster whose database was never restored. */
export const FIRST_EPOCH = 1n;

/**
 * Opens a new epoch for one cluster after its database was restored: generations and identity revisions start again
 * above everything the nodes have seen. Only the root authority can do it; the director alone cannot.
 */
export async function sealEpochRecovery(
  input: { readonly tenantId: string; readonly clusterId: string; readonly epoch: bigint },
  root: readonly Signer[],
): Promise<Uint8Array> {
  return signEnvelope(RECOVERY_PAYLOAD_TYPE, canonicalJson({ tenant: input.tenantId, cluster: input.clusterId, epoch: String(input.epoch) }), root);
}

export interface EpochRecovery {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly epoch: bigint;
}

/** Reads a recovery command that the root authority signed: what the control plane does before it serves one. */
export function readEpochRecovery(root: RootFile, envelope: Uint8Array): { readonly ok: true; readonly recovery: EpochRecovery } | Rejection {
  return rejectionOf(() => ({ ok: true as const, recovery: openRecovery(root, envelope) }));
}

/** Accepts a recovery command; a command for an epoch already known changes nothing. */
export function acceptEpochRecovery(state: TrustedState, envelope: Uint8Array, node: { readonly tenantId: string; readonly clusterId: string }): Step {
  return rejectionOf(() => {
    const { tenantId, clusterId, epoch } = openRecovery(state.root, envelope);
    if (tenantId !== node.tenantId || clusterId !== node.clusterId) throw new BundleError('wrong-cluster', 'the epoch recovery command is for another cluster');
    return { ok: true as const, state: epoch > trustedEpoch(state) ? { ...state, epoch } : state };
  });
}

function openRecovery(root: RootFile, envelope: Uint8Array): EpochRecovery {
  const { payload } = openEnvelope(envelope, {
    payloadType: RECOVERY_PAYLOAD_TYPE,
    authority: root.signed.roles.root,
    maxBytes: BUNDLE_LIMITS.assignmentBytes,
    what: 'the epoch recovery command',
  });
  const reader = new JsonReader(payload);
  reader.object(['tenant', 'cluster', 'epoch']);
  return { tenantId: reader.member('tenant').string(), clusterId: reader.member('cluster').string(), epoch: reader.member('epoch').u64() };
}

/** The newest epoch this node may load generations and identities of. */
export function trustedEpoch(state: TrustedState): bigint {
  return state.epoch ?? FIRST_EPOCH;
}

/** @throws BundleError `below-threshold` when the root has not opened the generation's epoch */
export function assertEpoch(state: TrustedState, generation: Generation): void {
  if (generation.epoch > trustedEpoch(state)) {
    throw new BundleError('below-threshold', `generation ${formatGeneration(generation)} is of an epoch that the root authority has not opened`);
  }
}
