import {
  acceptEpochRecovery,
  BUNDLE_LIMITS,
  checkRootFresh,
  updateSnapshot,
  updateTargets,
  updateTimestamp,
  type Step,
  type TrustedState,
} from '@palisade/bundle';
import { metadataPath, type MetadataRole } from '@palisade/protocol';
import { GatewayRefused, type GatewayRequests } from '../transport/gateway-requests.ts';
import { followRoots, TrustRefused } from './root-chain.ts';

const TIMEOUT_MS = 30_000;

/**
 * The TUF client workflow (1.0.31 §5): root chain, timestamp, snapshot, targets; files that did not change are not
 * fetched. `remember` is called after every step that was accepted, so that progress survives a crash.
 * @throws TrustRefused, GatewayRefused, GatewayUnreachable; what was remembered stays
 */
export async function refreshMetadata(gateway: GatewayRequests, state: TrustedState, now: () => number, remember: (state: TrustedState) => void): Promise<TrustedState> {
  const accept = (step: Step): TrustedState => {
    if (!step.ok) throw new TrustRefused(step);
    remember(step.state);
    return step.state;
  };
  let current = await followRoots(gateway, state);
  remember(current);
  accept(checkRootFresh(current, now()));
  current = accept(updateTimestamp(current, await fetchMetadata(gateway, 'timestamp', undefined, BUNDLE_LIMITS.timestampBytes), now()));
  const snapshot = current.timestamp?.signed.snapshot;
  if (snapshot !== undefined && current.snapshot?.sha256 !== snapshot.sha256) {
    current = accept(updateSnapshot(current, await fetchMetadata(gateway, 'snapshot', snapshot.version, snapshot.length), now()));
  }
  const targets = current.snapshot?.signed.targets;
  if (targets !== undefined && current.targets?.sha256 !== targets.sha256) {
    current = accept(updateTargets(current, await fetchMetadata(gateway, 'targets', targets.version, targets.length), now()));
  }
  return current;
}

/** Asks for the cluster's epoch recovery command and takes it where there is one. @throws TrustRefused */
export async function refreshEpoch(gateway: GatewayRequests, state: TrustedState, node: { readonly tenantId: string; readonly clusterId: string }): Promise<TrustedState> {
  let command: Uint8Array;
  try {
    command = await fetchMetadata(gateway, 'recovery', undefined, BUNDLE_LIMITS.assignmentBytes);
  } catch (error) {
    if (error instanceof GatewayRefused && error.status === 404) return state;
    throw error;
  }
  const step = acceptEpochRecovery(state, command, node);
  if (!step.ok) throw new TrustRefused(step);
  return step.state;
}

async function fetchMetadata(gateway: GatewayRequests, role: MetadataRole, version: number | undefined, maxBytes: number): Promise<Uint8Array> {
  const { body } = await gateway.request({ method: 'GET', path: metadataPath(role, version), maxBytes, timeoutMs: TIMEOUT_MS });
  return body;
}
