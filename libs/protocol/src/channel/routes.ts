/** `none`: server-authenticated TLS only; the gateway must not ask who is there. `required`: mTLS with a node certificate. */
export type ClientCertificate = 'none' | 'required';

export interface AgentRoute {
  readonly method: 'GET' | 'POST';
  /** Path with `{parameters}`. */
  readonly path: string;
  readonly clientCertificate: ClientCertificate;
}

/** Every route of the agent channel. Only public or self-authenticating things are readable without a certificate. */
export const AGENT_ROUTES = {
  enroll: { method: 'POST', path: '/agent/v1/enroll', clientCertificate: 'none' },
  recoverChallenge: { method: 'POST', path: '/agent/v1/recover/challenge', clientCertificate: 'none' },
  recover: { method: 'POST', path: '/agent/v1/recover', clientCertificate: 'none' },
  rootMetadata: { method: 'GET', path: '/agent/v1/metadata/root', clientCertificate: 'none' },
  renew: { method: 'POST', path: '/agent/v1/renew', clientCertificate: 'required' },
  checkIn: { method: 'POST', path: '/agent/v1/check-in', clientCertificate: 'required' },
  metadata: { method: 'GET', path: '/agent/v1/metadata/{role}', clientCertificate: 'required' },
  manifest: { method: 'GET', path: '/agent/v1/manifests/{sha256}', clientCertificate: 'required' },
  blob: { method: 'GET', path: '/agent/v1/blobs/{sha256}', clientCertificate: 'required' },
  identities: { method: 'GET', path: '/agent/v1/identities', clientCertificate: 'required' },
  flows: { method: 'POST', path: '/agent/v1/flows', clientCertificate: 'required' },
} as const satisfies Record<string, AgentRoute>;

/** Roles that `GET /agent/v1/metadata/{role}` serves. `recovery` is the epoch recovery command of the cluster, if any. */
export const METADATA_ROLES = ['root', 'timestamp', 'snapshot', 'targets', 'recovery'] as const;
export type MetadataRole = (typeof METADATA_ROLES)[number];

/** @param version absent: the newest; a version that does not exist is 404 */
export function metadataPath(role: MetadataRole, version?: number): string {
  const path = `/agent/v1/metadata/${role}`;
  return version === undefined ? path : `${path}?version=${version}`;
}

export function manifestPath(sha256: string): string {
  return `/agent/v1/manifests/${sha256}`;
}

export function blobPath(sha256: string): string {
  return `/agent/v1/blobs/${sha256}`;
}

/** @param since the revision the node stands at; absent: a snapshot is wanted */
export function identitiesPath(since?: number): string {
  return since === undefined ? '/agent/v1/identities' : `/agent/v1/identities?since=${since}`;
}

/** What the signature of a `RecoverRequest` is over. */
export function recoveryMessage(nonce: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from('palisade-recover-v1\n', 'utf8'), nonce]);
}
