import { X509Certificate } from 'node:crypto';
import { AttestationRefused, parseObject, textOf, verdictOf, type AttestationVerdict } from './attestation.ts';
import { readSignedMessage, type SignedMessage } from './signed-message.ts';

export interface AzureAttestedOptions {
  /** Roots that issue Azure's metadata certificates, PEM. */
  readonly roots: readonly string[];
  /** The nonce that the agent was to ask for. */
  readonly nonce: string;
  readonly subscriptions?: readonly string[];
  readonly nowMs: number;
}

const METADATA_HOST = /^(?:[a-z0-9-]+\.)*metadata\.azure\.(?:com|us|cn)$/;
const MAX_CHAIN = 5;

/**
 * Verifies Azure's attested document (`/metadata/attested/document?nonce=…`): PKCS#7 signed by a certificate for
 * metadata.azure.com that chains to a trusted root, for our nonce, and within its own time.
 */
export function verifyAzureAttested(evidence: Uint8Array, options: AzureAttestedOptions): Promise<AttestationVerdict> {
  return verdictOf(() => {
    const message = readSignedMessage(evidence);
    const signer = message.certificates.find((certificate) => message.signedBy(certificate.publicKey));
    if (signer === undefined) throw new AttestationRefused('bad-signature', 'No certificate of the attested document signed it.');
    assertMetadataService(signer);
    assertChain(signer, message, options);
    const document = parseObject(message.content, 'The attested document');
    if (textOf(document, 'nonce') !== options.nonce) throw new AttestationRefused('wrong-nonce', 'The attested document was made for another request.');
    assertFresh(document, options.nowMs);
    const subscription = textOf(document, 'subscriptionId');
    if (options.subscriptions !== undefined && !options.subscriptions.includes(subscription)) throw new AttestationRefused('not-allowed', `Machines of subscription ${subscription} may not enroll here.`);
    const machine = textOf(document, 'vmId');
    return { method: 'azure-imds' as const, subject: `azure:${subscription}:${machine}`, claims: { subscription, machine } };
  });
}

function assertMetadataService(signer: X509Certificate): void {
  const names = (signer.subjectAltName ?? '').split(', ').map((name) => name.replace(/^DNS:/, ''));
  if (!names.some((name) => METADATA_HOST.test(name))) throw new AttestationRefused('untrusted', 'The signing certificate is not the one of the Azure metadata service.');
}

function assertChain(signer: X509Certificate, message: SignedMessage, options: AzureAttestedOptions): void {
  const roots = options.roots.map((pem) => new X509Certificate(pem));
  let current = signer;
  for (let depth = 0; depth < MAX_CHAIN; depth += 1) {
    assertValid(current, options.nowMs);
    const root = roots.find((candidate) => issued(candidate, current));
    if (root !== undefined) return assertValid(root, options.nowMs);
    const next = message.certificates.find((candidate) => candidate.ca && candidate.fingerprint256 !== current.fingerprint256 && issued(candidate, current));
    if (next === undefined) break;
    current = next;
  }
  throw new AttestationRefused('untrusted', 'The signing certificate does not chain to a trusted root.');
}

function issued(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function assertValid(certificate: X509Certificate, nowMs: number): void {
  if (Date.parse(certificate.validFrom) > nowMs || Date.parse(certificate.validTo) <= nowMs) throw new AttestationRefused('expired', `The certificate ${certificate.subject} is not valid now.`);
}

/** Azure writes `11/20/18 22:07:39 -0000`. */
function assertFresh(document: Readonly<Record<string, unknown>>, nowMs: number): void {
  const stamp = document['timeStamp'];
  if (typeof stamp !== 'object' || stamp === null) throw new AttestationRefused('malformed', 'The attested document has no timeStamp.');
  const times = stamp as Readonly<Record<string, unknown>>;
  const [from, until] = [azureTime(textOf(times, 'createdOn')), azureTime(textOf(times, 'expiresOn'))];
  if (from > nowMs + 5 * 60_000 || until <= nowMs) throw new AttestationRefused('expired', 'The attested document is not valid now; ask the metadata service again.');
}

function azureTime(text: string): number {
  const match = /^(\d\d)\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d) [-+]0000$/.exec(text);
  if (match === null) throw new AttestationRefused('malformed', 'A time of the attested document cannot be read.');
  const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  return Date.UTC(2000 + year, month - 1, day, hour, minute, second);
}
