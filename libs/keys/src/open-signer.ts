import type { Signer } from '@palisade/bundle';
import { DomainError } from '@palisade/errors';
import { openAwsKmsSigner } from './aws/aws-kms-signer.ts';
import { openAzureKeyVaultSigner } from './azure/azure-key-vault-signer.ts';
import { openFileSigner } from './file-signer.ts';

const AWS_ARN = /^aws-kms:(arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:(?:key|alias)\/.+)$/;

/**
 * Opens the signer that a reference names: `file:/path/to.key`, `aws-kms:arn:aws:kms:<region>:<account>:key/<id>`, or
 * `azure-key-vault:https://<vault>/keys/<name>/<version>`.
 * @throws DomainError `request.invalid` for other references and keys, `service.unavailable` when the service does not answer
 */
export async function openSigner(reference: string): Promise<Signer> {
  if (reference.startsWith('file:')) return openFileSigner(reference.slice('file:'.length));
  const [, keyId, region] = AWS_ARN.exec(reference) ?? [];
  if (keyId !== undefined && region !== undefined) return openAwsKmsSigner({ keyId, region });
  if (reference.startsWith('azure-key-vault:')) return openAzureKeyVaultSigner({ keyUrl: reference.slice('azure-key-vault:'.length) });
  throw new DomainError('request.invalid', 'A signer is named file:PATH, aws-kms:ARN or azure-key-vault:URL.');
}
