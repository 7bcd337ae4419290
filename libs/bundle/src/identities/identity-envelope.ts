import { BundleError, rejectionOf, type Rejection } from '../bundle-error.ts';
import { canonicalJson, type JsonValue } from '../canonical/canonical-json.ts';
import { JsonReader } from '../canonical/json-reader.ts';
import { trustedEpoch } from '../assignment/epoch-recovery.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { openEnvelope, parseEnvelope, signEnvelope } from '../signing/dsse.ts';
import type { Signer } from '../signing/signer.ts';
import type { TrustedState } from '../tuf/trusted-state.ts';

export const SNAPSHOT_PAYLOAD_TYPE = 'application/vnd.palisade.identities.snapshot.v1+json';
export const INCREMENT_PAYLOAD_TYPE = 'application/vnd.palisade.identities.increment.v1+json';

/** Where a node or the stream stands. Ordered by epoch, then revision. */
export interface IdentityPosition {
  readonly epoch: bigint;
  readonly revision: number;
}

interface Scope {
  readonly tenantId: string;
  readonly clusterId: string;
}

/** `content` is the `ClusterFacts` (snapshot) or the `FactsIncrement` (increment) of the policy room; opaque here. */
export type IdentityMessage = IdentityPosition & Scope & { readonly content: JsonValue } & (
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'increment'; readonly previousRevision: number }
);

/** Signs one message of the identity stream with the director's key. @returns the DSSE envelope */
export async function sealIdentities(message: IdentityMessage, director: readonly Signer[]): Promise<Uint8Array> {
  const payload = canonicalJson({
    tenant: message.tenantId,
    cluster: message.clusterId,
    epoch: String(message.epoch),
    identity_revision: String(message.revision),
    ...(message.kind === 'increment' && { previous_revision: String(message.previousRevision) }),
    content: message.content,
  });
  return signEnvelope(message.kind === 'snapshot' ? SNAPSHOT_PAYLOAD_TYPE : INCREMENT_PAYLOAD_TYPE, payload, director);
}

/**
 * Verifies one message against where the node stands (absent: nowhere yet).
 * - a snapshot must not be older than the node's position;
 * - an increment must start exactly at it: otherwise `identity-gap`, and the node asks for a snapshot.
 */
export function verifyIdentities(
  state: TrustedState,
  envelope: Uint8Array,
  scope: Scope,
  at: IdentityPosition | undefined,
): { readonly ok: true; readonly message: IdentityMessage } | Rejection {
  return rejectionOf(() => {
    const message = open(state, envelope);
    if (message.tenantId !== scope.tenantId || message.clusterId !== scope.clusterId) {
      throw new BundleError('wrong-cluster', 'the identity message is for another cluster');
    }
    if (message.epoch > trustedEpoch(state)) throw new BundleError('below-threshold', `the root authority has not opened identity epoch ${message.epoch}`);
    assertOrder(message, at);
    return { ok: true as const, message };
  });
}

function assertOrder(message: IdentityMessage, at: IdentityPosition | undefined): void {
  if (at !== undefined && (message.epoch < at.epoch || (message.epoch === at.epoch && message.revision < at.revision))) {
    throw new BundleError('identity-rollback', `identity revision ${message.epoch}.${message.revision} is older than ${at.epoch}.${at.revision}: identities never go back`);
  }
  if (message.kind === 'snapshot') return;
  if (at === undefined || message.epoch !== at.epoch || message.previousRevision !== at.revision) {
    throw new BundleError('identity-gap', `the increment starts at revision ${message.previousRevision}, this node stands at ${at === undefined ? 'none' : at.revision}`);
  }
  if (message.revision <= message.previousRevision) throw new BundleError('malformed', 'an increment leads to a higher revision');
}

function open(state: TrustedState, envelope: Uint8Array): IdentityMessage {
  const maxBytes = BUNDLE_LIMITS.identityEnvelopeBytes;
  const { payloadType } = parseEnvelope(envelope, maxBytes, 'the identity message');
  const kind = payloadType === INCREMENT_PAYLOAD_TYPE ? 'increment' : 'snapshot';
  const { payload } = openEnvelope(envelope, {
    payloadType: kind === 'increment' ? INCREMENT_PAYLOAD_TYPE : SNAPSHOT_PAYLOAD_TYPE,
    authority: state.root.signed.roles.director,
    maxBytes,
    what: 'the identity message',
  });
  const reader = new JsonReader(payload);
  reader.object(['tenant', 'cluster', 'epoch', 'identity_revision', 'content', ...(kind === 'increment' ? ['previous_revision'] : [])]);
  reader.member('content').record();
  const base = {
    tenantId: reader.member('tenant').string(),
    clusterId: reader.member('cluster').string(),
    epoch: reader.member('epoch').u64(),
    revision: reader.member('identity_revision').revision(),
    content: reader.member('content').value as JsonValue,
  };
  return kind === 'snapshot' ? { kind, ...base } : { kind, ...base, previousRevision: reader.member('previous_revision').revision() };
}
