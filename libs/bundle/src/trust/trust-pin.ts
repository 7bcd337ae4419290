import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { BundleError } from '../bundle-error.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { parseRoot } from '../tuf/root.ts';
import { trustRoot, type Step } from '../tuf/trusted-state.ts';

const PIN = /^sha256:[0-9a-f]{64}$/;

/**
 * The pin an operator carries to a node out of band: `sha256:<hex>` over the exact bytes of root version 1 followed by
 * the DER of the first gateway CA that this root names.
 * @throws BundleError when the bytes are not root metadata that names a gateway CA
 */
export function trustPin(rootV1: Uint8Array): string {
  const gatewayCa = parseRoot(rootV1).signed.pinned.gatewayCas[0];
  if (gatewayCa === undefined) throw new BundleError('malformed', 'the root names no gateway CA', '/signed/palisade/gateway_ca');
  return `sha256:${sha256Hex(rootV1, new X509Certificate(gatewayCa).raw)}`;
}

/**
 * Believes a root because it matches the pin. Nothing from the network is believed before this succeeded.
 * @returns `trust-pin-mismatch` for any other bytes, well-formed or not
 */
export function trustByPin(rootV1: Uint8Array, pin: string): Step {
  const mismatch = { ok: false, code: 'trust-pin-mismatch', message: 'the gateway offers a root that does not match --trust: this is not the control plane the pin was made for' } as const;
  if (!PIN.test(pin)) return { ...mismatch, message: 'the trust pin has the form sha256:<64 hex digits>' };
  let actual: string;
  try {
    actual = trustPin(rootV1);
  } catch (error) {
    if (error instanceof BundleError) return mismatch;
    throw error;
  }
  if (!timingSafeEqual(Buffer.from(actual), Buffer.from(pin))) return mismatch;
  return trustRoot(rootV1);
}
