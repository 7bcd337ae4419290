import { createHash, createPublicKey } from 'node:crypto';
import { tufKeyId, tufKeyOf, type Signer } from '@palisade/bundle';
import { DomainError } from '@palisade/errors';

export interface AwsKmsKey {
  /** ARN, id or alias of an asymmetric key of spec ECC_NIST_P256 with usage SIGN_VERIFY. */
  readonly keyId: string;
  readonly region: string;
  /** Only for tests and private endpoints. */
  readonly endpoint?: string;
}

/**
 * Signs with a key that never leaves AWS KMS (`kms:GetPublicKey`, `kms:Sign` are all it needs). Credentials are found the
 * way the AWS SDK finds them. Only the digest goes to the service; its ECDSA signatures are DER already.
 * @throws DomainError `request.invalid` when the key is of another kind; `service.unavailable` when KMS does not answer
 */
export async function openAwsKmsSigner(options: AwsKmsKey): Promise<Signer> {
  // About 100 MB and a second: only where it is used.
  const { KMSClient, GetPublicKeyCommand, SignCommand } = await import('@aws-sdk/client-kms');
  const client = new KMSClient({ region: options.region, maxAttempts: 3, ...(options.endpoint !== undefined && { endpoint: options.endpoint }) });
  const { PublicKey } = await asked(() => client.send(new GetPublicKeyCommand({ KeyId: options.keyId })));
  if (PublicKey === undefined) throw new DomainError('request.invalid', `AWS KMS names no public key for ${options.keyId}: an asymmetric key is needed.`);
  const key = tufKeyOf(createPublicKey({ key: Buffer.from(PublicKey), format: 'der', type: 'spki' }));
  if (key.keytype !== 'ecdsa') throw new DomainError('request.invalid', `The key ${options.keyId} is not of spec ECC_NIST_P256.`);
  return {
    keyId: tufKeyId(key),
    key,
    async sign(data) {
      const digest = createHash('sha256').update(data).digest();
      const command = new SignCommand({ KeyId: options.keyId, Message: digest, MessageType: 'DIGEST', SigningAlgorithm: 'ECDSA_SHA_256' });
      const { Signature } = await asked(() => client.send(command));
      if (Signature === undefined) throw new DomainError('service.unavailable', 'AWS KMS answered without a signature. Try again.');
      return Signature;
    },
  };
}

async function asked<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (cause) {
    throw new DomainError('service.unavailable', `AWS KMS did not do what was asked: ${(cause as Error).message}`, { cause });
  }
}
