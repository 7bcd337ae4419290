import { X509Certificate } from 'node:crypto';
import { AttestationRefused, parseObject, textOf, verdictOf, type AttestationVerdict } from './attestation.ts';
import { readSignedMessage } from './signed-message.ts';

export interface AwsIdentityOptions {
  /** AWS's public certificates for the RSA-2048 signature, PEM, by region (AWS publishes them for each region). */
  readonly certificates: Readonly<Record<string, string>>;
  /** Accounts whose machines may enroll; absent: every account. */
  readonly accounts?: readonly string[];
}

/**
 * Verifies an EC2 instance identity document in its PKCS#7/RSA-2048 form (`…/dynamic/instance-identity/rsa2048`).
 * The document is the same for the life of the instance: whoever has read it can show it, so an instance enrolls once
 * (`subject` is to be unique among nodes).
 */
export function verifyAwsIdentity(evidence: Uint8Array, options: AwsIdentityOptions): Promise<AttestationVerdict> {
  return verdictOf(() => {
    const message = readSignedMessage(evidence);
    const document = parseObject(message.content, 'The identity document');
    const region = textOf(document, 'region');
    const pem = Object.hasOwn(options.certificates, region) ? options.certificates[region] : undefined;
    if (pem === undefined) throw new AttestationRefused('untrusted', `There is no certificate of AWS for region ${region}; add it to trust machines there.`);
    // The region is the document's own word: it only picks which of AWS's certificates must have signed.
    if (!message.signedBy(new X509Certificate(pem).publicKey)) throw new AttestationRefused('bad-signature', `The identity document was not signed by AWS in ${region}.`);
    const account = textOf(document, 'accountId');
    if (options.accounts !== undefined && !options.accounts.includes(account)) throw new AttestationRefused('not-allowed', `Machines of AWS account ${account} may not enroll here.`);
    const instance = textOf(document, 'instanceId');
    return {
      method: 'aws-iid' as const,
      subject: `aws:${account}:${region}:${instance}`,
      claims: { account, region, instance, image: textOf(document, 'imageId'), architecture: textOf(document, 'architecture'), pendingTime: textOf(document, 'pendingTime') },
    };
  });
}
