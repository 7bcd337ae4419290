import { X509Certificate } from 'node:crypto';
import { BundleError } from '../bundle-error.ts';
import type { JsonValue } from '../canonical/canonical-json.ts';
import { formatTime, type JsonReader } from '../canonical/json-reader.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { readTufKey, tufKeyId, verificationKey, type TufKey, type VerificationKey } from '../signing/public-key.ts';
import type { Signer } from '../signing/signer.ts';
import type { Authority } from '../signing/threshold.ts';
import { parseMetadata, readCommon, signMetadata, TUF_SPEC_VERSION, type CommonFields, type MetadataFile } from './metadata.ts';

/**
 * The roles of the root. `targets` is the **image authority**: it says which program objects exist (its name is TUF's,
 * so that any TUF client can read the image repository). `director` says which cluster and node gets what.
 */
export const ROOT_ROLES = ['root', 'targets', 'director', 'snapshot', 'timestamp'] as const;
export type RootRole = (typeof ROOT_ROLES)[number];

/** Certificate authorities that the root vouches for. More than one of a kind while one is being replaced. */
export interface PinnedAuthorities {
  /** `spiffe://<trust-domain>/…` */
  readonly trustDomain: string;
  /** PEM, one certificate each, newest first: issuers of node certificates. */
  readonly nodeCas: readonly string[];
  /** PEM, one certificate each, newest first: issuers of gateway server certificates. */
  readonly gatewayCas: readonly string[];
}

export interface RootMetadata extends CommonFields {
  readonly roles: Readonly<Record<RootRole, Authority>>;
  readonly pinned: PinnedAuthorities;
}

export type RootFile = MetadataFile<RootMetadata>;

/** Parses root metadata; signatures are checked by `openRoot` and `updateRoot`. @throws BundleError */
export function parseRoot(bytes: Uint8Array): RootFile {
  return parseMetadata(bytes, 'root', BUNDLE_LIMITS.rootBytes, readRoot);
}

function readRoot(signed: JsonReader): RootMetadata {
  const keys = new Map<string, VerificationKey>();
  for (const [id, reader] of signed.member('keys').entries(BUNDLE_LIMITS.keys)) {
    const key = verificationKey(readTufKey(reader));
    if (key.keyId !== id) throw new BundleError('key-id-mismatch', 'a key is filed under an id that is not its own', reader.pointer);
    keys.set(id, key);
  }
  const roles = signed.member('roles');
  return {
    ...readCommon(signed),
    roles: {
      root: readRole(roles.member('root'), keys),
      targets: readRole(roles.member('targets'), keys),
      director: readRole(roles.member('director'), keys),
      snapshot: readRole(roles.member('snapshot'), keys),
      timestamp: readRole(roles.member('timestamp'), keys),
    },
    pinned: readPinned(signed.member('palisade')),
  };
}

function readRole(role: JsonReader, keys: ReadonlyMap<string, VerificationKey>): Authority {
  role.object(['keyids', 'threshold'], true);
  const named = new Map<string, VerificationKey>();
  for (const reader of role.member('keyids').array(BUNDLE_LIMITS.keys)) {
    const id = reader.sha256();
    if (named.has(id)) throw new BundleError('duplicate-key', 'a role names one key twice', reader.pointer);
    const key = keys.get(id);
    if (key === undefined) throw new BundleError('malformed', 'no key has this id', reader.pointer);
    named.set(id, key);
  }
  const threshold = role.member('threshold').integer({ min: 1, max: BUNDLE_LIMITS.keys });
  if (threshold > named.size) role.member('threshold').fail(`the threshold is beyond the ${named.size} keys of the role`);
  return { keys: named, threshold };
}

function readPinned(pinned: JsonReader): PinnedAuthorities {
  return {
    trustDomain: pinned.member('trust_domain').string(/^[a-z0-9][a-z0-9.-]{0,254}$/),
    nodeCas: pinned.member('node_ca').array(8).map(readCertificate),
    gatewayCas: pinned.member('gateway_ca').array(8).map(readCertificate),
  };
}

function readCertificate(reader: JsonReader): string {
  const pem = reader.string(/^-----BEGIN CERTIFICATE-----\n/, 16 * 1024);
  try {
    if (!new X509Certificate(pem).ca) reader.fail('this certificate is not a certificate authority');
  } catch (error) {
    if (error instanceof BundleError) throw error;
    reader.fail('this certificate cannot be read');
  }
  return pem;
}

export interface RootInput {
  readonly version: number;
  readonly expiresMs: number;
  readonly roles: Readonly<Record<RootRole, { readonly keys: readonly TufKey[]; readonly threshold: number }>>;
  readonly pinned: PinnedAuthorities;
}

/**
 * Writes and signs root metadata. For version N + 1 the signers are a threshold of the old **and** of the new root keys
 * (TUF 6.1); a key that is both signs once.
 */
export async function sealRoot(input: RootInput, signers: readonly Signer[]): Promise<Uint8Array> {
  const keys: Record<string, JsonValue> = {};
  const roles: Record<string, JsonValue> = {};
  for (const name of ROOT_ROLES) {
    const role = input.roles[name];
    for (const key of role.keys) keys[tufKeyId(key)] = key as unknown as JsonValue;
    roles[name] = { keyids: role.keys.map(tufKeyId), threshold: role.threshold };
  }
  const distinct = [...new Map(signers.map((signer) => [signer.keyId, signer])).values()];
  return signMetadata(
    {
      _type: 'root',
      spec_version: TUF_SPEC_VERSION,
      consistent_snapshot: true,
      version: input.version,
      expires: formatTime(input.expiresMs),
      keys,
      roles,
      palisade: { trust_domain: input.pinned.trustDomain, node_ca: input.pinned.nodeCas, gateway_ca: input.pinned.gatewayCas },
    },
    distinct,
  );
}
