import { readFileSync } from 'node:fs';
import { attestationNonce } from '@palisade/protocol';

/** Where this machine's evidence comes from. */
export type AttestationSource =
  | { readonly type: 'aws-iid' }
  | { readonly type: 'azure-imds' }
  /** A projected service-account token for our audience. */
  | { readonly type: 'k8s-sat'; readonly tokenFile: string };

export interface Evidence {
  readonly type: AttestationSource['type'];
  readonly document: Uint8Array;
}

/** The link-local metadata service of AWS and Azure. */
const METADATA_SERVICE = 'http://169.254.169.254';
const TIMEOUT_MS = 5_000;
const MAX_BYTES = 64 * 1024;

/**
 * Collects what proves which machine this is: the AWS instance identity document in its RSA-2048 form (IMDSv2), Azure's
 * attested document with a nonce of this enrollment, or a Kubernetes service-account token.
 * @throws Error with a sentence when there is none to be had here
 */
export async function collectEvidence(sources: readonly AttestationSource[], enrollmentUuid: string, service = METADATA_SERVICE): Promise<Evidence[]> {
  return Promise.all(sources.map(async (source) => ({ type: source.type, document: await documentOf(source, enrollmentUuid, service) })));
}

/** `aws-iid`, `azure-imds`, `k8s-sat:FILE`. @throws Error */
export function parseAttestationSource(text: string): AttestationSource {
  if (text === 'aws-iid' || text === 'azure-imds') return { type: text };
  if (text.startsWith('k8s-sat:/')) return { type: 'k8s-sat', tokenFile: text.slice('k8s-sat:'.length) };
  throw new Error('--attest is aws-iid, azure-imds or k8s-sat:/path/to/token.');
}

async function documentOf(source: AttestationSource, enrollmentUuid: string, service: string): Promise<Uint8Array> {
  switch (source.type) {
    case 'aws-iid': {
      const token = await ask(`${service}/latest/api/token`, { 'x-aws-ec2-metadata-token-ttl-seconds': '60' }, 'PUT');
      return ask(`${service}/latest/dynamic/instance-identity/rsa2048`, { 'x-aws-ec2-metadata-token': Buffer.from(token).toString('latin1') });
    }
    case 'azure-imds': {
      const url = `${service}/metadata/attested/document?api-version=2021-02-01&nonce=${attestationNonce(enrollmentUuid)}`;
      const { signature } = JSON.parse(Buffer.from(await ask(url, { metadata: 'true' })).toString('utf8')) as { signature?: unknown };
      if (typeof signature !== 'string') throw new Error('The Azure metadata service answered without a signature.');
      return Buffer.from(signature, 'latin1');
    }
    case 'k8s-sat':
      return readFileSync(source.tokenFile);
  }
}

async function ask(url: string, headers: Readonly<Record<string, string>>, method = 'GET'): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url, { method, headers, redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    throw new Error(`The metadata service of this machine does not answer (${new URL(url).pathname}).`, { cause });
  }
  if (!response.ok) throw new Error(`The metadata service answered ${response.status} to ${new URL(url).pathname}.`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.byteLength > MAX_BYTES) throw new Error('The metadata service sent more than evidence can have.');
  return bytes;
}
