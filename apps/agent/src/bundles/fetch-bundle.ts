import { BUNDLE_LIMITS, formatGeneration, sha256Hex, storedTrust, verifyBlob, verifyBundle, type BlobReference, type NodeContext, type TrustedState } from '@palisade/bundle';
import { blobPath, manifestPath, type Desired } from '@palisade/protocol';
import type { AgentState, KeptBundle } from '../state/agent-state.ts';
import { ANSWER_TOO_LARGE, GatewayRefused, type GatewayRequests } from '../transport/gateway-requests.ts';
import { TrustRefused } from '../trust/root-chain.ts';
import { blobsOf } from './load-bundle.ts';

const MANIFEST_TIMEOUT_MS = 30_000;
const BLOB_TIMEOUT_MS = 5 * 60_000;

export interface FetchedBundle {
  readonly kept: KeptBundle;
  readonly minimumIdentityRevision: number;
  readonly trusted: TrustedState;
}

/**
 * Fetches and verifies what the gateway offers. The generation is on disk before anything of the bundle can be loaded;
 * a bundle that is refused leaves nothing behind but the metadata that was good.
 * @param trusted freshly refreshed metadata
 * @throws TrustRefused (final), GatewayRefused and GatewayUnreachable (try again later)
 */
export async function fetchBundle(gateway: GatewayRequests, state: AgentState, trusted: TrustedState, desired: Desired, node: NodeContext, nowMs: number): Promise<FetchedBundle> {
  const envelope = await fetchBytes(gateway, manifestPath(desired.manifestSha256), BUNDLE_LIMITS.manifestBytes, MANIFEST_TIMEOUT_MS);
  if (sha256Hex(envelope) !== desired.manifestSha256) {
    throw new TrustRefused({ ok: false, code: 'hash-mismatch', message: 'the manifest is not the one that was offered' });
  }
  const assignment = { envelope: desired.assignment, leafIndex: Number(desired.leafIndex), path: desired.assignmentPath };
  const verdict = verifyBundle(trusted, { manifest: envelope, assignment }, node, nowMs);
  if (!verdict.ok) throw new TrustRefused(verdict);
  const { manifest } = verdict;
  for (const blob of blobsOf(manifest)) if (state.blob(blob.sha256) === undefined) state.saveBlob(blob.sha256, await fetchBlob(gateway, blob));
  state.saveManifest(desired.manifestSha256, envelope);
  state.saveTrust(storedTrust(verdict.state));
  return {
    kept: {
      generation: formatGeneration(manifest.generation),
      manifestSha256: desired.manifestSha256,
      contentDigest: manifest.contentDigest,
      policyRevision: manifest.policy.revision,
    },
    minimumIdentityRevision: manifest.minimumIdentityRevision,
    trusted: verdict.state,
  };
}

async function fetchBlob(gateway: GatewayRequests, blob: BlobReference): Promise<Uint8Array> {
  const body = await fetchBytes(gateway, blobPath(blob.sha256), blob.bytes, BLOB_TIMEOUT_MS);
  const verdict = verifyBlob(blob, body);
  if (!verdict.ok) throw new TrustRefused(verdict);
  return body;
}

/** @throws TrustRefused `too-large` when more comes than was announced: the reading stops there */
async function fetchBytes(gateway: GatewayRequests, path: string, maxBytes: number, timeoutMs: number): Promise<Uint8Array> {
  try {
    return (await gateway.request({ method: 'GET', path, maxBytes, timeoutMs })).body;
  } catch (error) {
    if (error instanceof GatewayRefused && error.code === ANSWER_TOO_LARGE) throw new TrustRefused({ ok: false, code: 'too-large', message: error.message });
    throw error;
  }
}
