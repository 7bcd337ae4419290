import { createPublicKey, verify, type JsonWebKey } from 'node:crypto';
import { AttestationRefused, MAX_EVIDENCE_BYTES, parseObject, textOf, verdictOf, type AttestationVerdict, type AttestedMachine } from './attestation.ts';

export interface ServiceAccountOptions {
  /** `iss` of the cluster (`--service-account-issuer`). */
  readonly issuer: string;
  /** The audience that the token must be for; a token for the API server is not ours to take. */
  readonly audience: string;
  /** The cluster's key set (`/openid/v1/jwks`). */
  readonly keys: readonly JsonWebKey[];
  /** `namespace/name` of service accounts that may enroll. */
  readonly serviceAccounts: readonly string[];
  readonly nowMs: number;
}

const SKEW_S = 60;
const ALGORITHMS: Readonly<Record<string, { readonly kty: string; readonly hash: string }>> = { RS256: { kty: 'RSA', hash: 'sha256' }, ES256: { kty: 'EC', hash: 'sha256' } };

/**
 * Verifies a projected, pod-bound service-account token against the cluster's key set, without asking the cluster.
 * A pod that was deleted is only noticed through `reviewServiceAccountToken`.
 */
export function verifyServiceAccountToken(token: string, options: ServiceAccountOptions): Promise<AttestationVerdict> {
  return verdictOf(() => {
    const claims = verifiedClaims(token, options.keys);
    if (claims['iss'] !== options.issuer) throw new AttestationRefused('untrusted', 'The token is of another cluster.');
    const audience = claims['aud'];
    if (!(Array.isArray(audience) ? audience : [audience]).includes(options.audience)) throw new AttestationRefused('wrong-audience', `The token is not for the audience ${options.audience}.`);
    assertTimes(claims, options.nowMs / 1000);
    return machineOf(claims, options);
  });
}

export interface TokenReviewOptions extends Pick<ServiceAccountOptions, 'audience' | 'serviceAccounts'> {
  /** `https://host:port` of the cluster's API server. */
  readonly apiServer: string;
  /** A token that may create TokenReviews. */
  readonly bearer: string;
  /** HTTP with the cluster's certificate authority; `fetch` by default. */
  readonly fetch?: typeof fetch;
}

/** Asks the cluster itself (TokenReview, authentication.k8s.io/v1): also finds tokens of deleted pods. */
export function reviewServiceAccountToken(token: string, options: TokenReviewOptions): Promise<AttestationVerdict> {
  return verdictOf(async () => {
    const response = await (options.fetch ?? fetch)(`${options.apiServer}/apis/authentication.k8s.io/v1/tokenreviews`, {
      method: 'POST',
      headers: { authorization: `Bearer ${options.bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: [options.audience] } }),
      signal: AbortSignal.timeout(10_000),
    }).catch(() => undefined);
    if (response === undefined || !response.ok) throw new AttestationRefused('unavailable', 'The cluster did not review the token. Try again.');
    const { status } = (await response.json()) as { status?: ReviewStatus };
    if (status?.authenticated !== true) throw new AttestationRefused('bad-signature', 'The cluster does not know this token.');
    // An API server that does not know audiences leaves the list empty: then the token was not checked for ours.
    if (status.audiences?.includes(options.audience) !== true) throw new AttestationRefused('wrong-audience', `The token is not for the audience ${options.audience}.`);
    const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(status.user?.username ?? '') ?? [];
    if (namespace === undefined || name === undefined) throw new AttestationRefused('not-allowed', 'The token is not of a service account.');
    const extra = (key: string) => status.user?.extra?.[`authentication.kubernetes.io/${key}`]?.[0];
    const [pod, podUid, node] = [extra('pod-name'), extra('pod-uid'), extra('node-name')];
    if (pod === undefined || podUid === undefined) throw new AttestationRefused('not-allowed', 'The token is not bound to a pod.');
    return machine({ namespace, serviceAccount: name, pod, podUid, ...(node !== undefined && { node }) }, options.serviceAccounts);
  });
}

interface ReviewStatus {
  readonly authenticated?: boolean;
  readonly audiences?: readonly string[];
  readonly user?: { readonly username?: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
}

/** RFC 7519 with RS256 or ES256; the algorithm is the key's, never the token's word alone. */
function verifiedClaims(token: string, keys: readonly JsonWebKey[]): Readonly<Record<string, unknown>> {
  const parts = token.split('.');
  const [head, body, signature] = parts;
  if (token.length > MAX_EVIDENCE_BYTES || parts.length !== 3 || head === undefined || body === undefined || signature === undefined || signature === '') {
    throw new AttestationRefused('malformed', 'The token is not a signed JWT.');
  }
  const header = parseObject(Buffer.from(head, 'base64url'), 'The head of the token');
  const algorithm = Object.hasOwn(ALGORITHMS, String(header['alg'])) ? ALGORITHMS[String(header['alg'])] : undefined;
  if (algorithm === undefined || header['crit'] !== undefined) throw new AttestationRefused('malformed', 'The token is signed in a way that is not accepted.');
  const key = keys.find((candidate) => candidate['kid'] === header['kid'] && candidate.kty === algorithm.kty);
  if (key === undefined) throw new AttestationRefused('untrusted', 'The token was signed with a key that the cluster does not publish.');
  const publicKey = createPublicKey({ key, format: 'jwk' });
  const good = verify(algorithm.hash, Buffer.from(`${head}.${body}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  if (!good) throw new AttestationRefused('bad-signature', 'The token was altered or signed with another key.');
  return parseObject(Buffer.from(body, 'base64url'), 'The token');
}

function assertTimes(claims: Readonly<Record<string, unknown>>, nowS: number): void {
  const { exp, nbf } = claims;
  if (typeof exp !== 'number' || exp + SKEW_S <= nowS) throw new AttestationRefused('expired', 'The token has expired.');
  if (nbf !== undefined && (typeof nbf !== 'number' || nbf - SKEW_S > nowS)) throw new AttestationRefused('expired', 'The token is not valid yet.');
}

function machineOf(claims: Readonly<Record<string, unknown>>, options: ServiceAccountOptions): AttestedMachine {
  const kubernetes = objectAt(claims, 'kubernetes.io');
  const [account, pod] = [objectAt(kubernetes, 'serviceaccount'), objectAt(kubernetes, 'pod')];
  const namespace = textOf(kubernetes, 'namespace');
  const serviceAccount = textOf(account, 'name');
  if (claims['sub'] !== `system:serviceaccount:${namespace}:${serviceAccount}`) throw new AttestationRefused('malformed', 'The token contradicts itself.');
  const node = kubernetes['node'] === undefined ? undefined : textOf(objectAt(kubernetes, 'node'), 'name');
  return machine({ namespace, serviceAccount, pod: textOf(pod, 'name'), podUid: textOf(pod, 'uid'), ...(node !== undefined && { node }) }, options.serviceAccounts);
}

function objectAt(object: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  const value = object[name];
  if (typeof value !== 'object' || value === null) throw new AttestationRefused('malformed', `The token has no ${name}; it is not bound to a pod.`);
  return value as Readonly<Record<string, unknown>>;
}

function machine(claims: { readonly namespace: string; readonly serviceAccount: string; readonly pod: string; readonly podUid: string; readonly node?: string }, allowed: readonly string[]): AttestedMachine {
  const account = `${claims.namespace}/${claims.serviceAccount}`;
  if (!allowed.includes(account)) throw new AttestationRefused('not-allowed', `Service account ${account} may not enroll here.`);
  return { method: 'k8s-sat', subject: `k8s:${claims.podUid}`, claims };
}
