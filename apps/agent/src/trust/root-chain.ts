import { BUNDLE_LIMITS, checkRootFresh, trustByPin, updateRoot, type Rejection, type TrustedState } from '@palisade/bundle';
import { metadataPath } from '@palisade/protocol';
import { GatewayRefused, type GatewayRequests } from '../transport/gateway-requests.ts';

/** A signed thing was refused; `code` is of the closed set of the bundle room. */
export class TrustRefused extends Error {
  readonly code: string;

  constructor(rejection: Rejection) {
    super(`${rejection.code}: ${rejection.message}`);
    this.name = 'TrustRefused';
    this.code = rejection.code;
  }
}

const ROOT_TIMEOUT_MS = 15_000;

/**
 * Trust on a new node. Root metadata is public and proves itself, so it may come over a connection on which the server
 * is **not** verified: version 1 by the pin, the next ones by the chain of signatures. Nothing but these requests may be
 * sent on that connection; the enrollment token goes out only on a second one, verified against the gateway CAs that
 * the newest root names.
 * @throws TrustRefused `trust-pin-mismatch` before anything else was asked for
 */
export async function bootstrapTrust(unverified: GatewayRequests, pin: string, nowMs: number): Promise<TrustedState> {
  const rootV1 = await fetchRoot(unverified, 1);
  if (rootV1 === undefined) throw new Error('The gateway has no root metadata version 1.');
  const start = trustByPin(rootV1, pin);
  if (!start.ok) throw new TrustRefused(start);
  const state = await followRoots(unverified, start.state);
  const fresh = checkRootFresh(state, nowMs);
  if (!fresh.ok) throw new TrustRefused(fresh);
  return state;
}

/** Steps to the newest root (TUF 5.3). A gap or a bad signature ends the walk with an error; the state stays as it was. */
export async function followRoots(gateway: GatewayRequests, state: TrustedState): Promise<TrustedState> {
  let current = state;
  for (let steps = 0; ; steps += 1) {
    const next = await fetchRoot(gateway, current.root.signed.version + 1);
    if (next === undefined) return current;
    if (steps >= BUNDLE_LIMITS.rootRotations) {
      throw new TrustRefused({ ok: false, code: 'too-many-rotations', message: `one update steps through at most ${BUNDLE_LIMITS.rootRotations} roots` });
    }
    const step = updateRoot(current, next);
    if (!step.ok) throw new TrustRefused(step);
    current = step.state;
  }
}

async function fetchRoot(gateway: GatewayRequests, version: number): Promise<Uint8Array | undefined> {
  try {
    const { body } = await gateway.request({ method: 'GET', path: metadataPath('root', version), maxBytes: BUNDLE_LIMITS.rootBytes, timeoutMs: ROOT_TIMEOUT_MS });
    return body;
  } catch (error) {
    if (error instanceof GatewayRefused && error.status === 404) return undefined;
    throw error;
  }
}
