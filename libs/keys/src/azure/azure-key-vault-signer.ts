import { createHash, createPublicKey } from 'node:crypto';
import { tufKeyId, tufKeyOf, type Signer } from '@palisade/bundle';
import { DomainError } from '@palisade/errors';
import type { TokenCredential } from '@azure/identity';
import type { KeyClientOptions } from '@azure/keyvault-keys';
import { derSignature } from './der-signature.ts';

export interface AzureKey {
  /** `https://<vault>.vault.azure.net/keys/<name>/<version>`: an EC key on P-256. The version is pinned. */
  readonly keyUrl: string;
  /** By default what `DefaultAzureCredential` finds. */
  readonly credential?: TokenCredential;
  /** Only for tests and private endpoints. */
  readonly client?: KeyClientOptions;
}

const KEY_URL = /^(https:\/\/[^/]+)\/keys\/([A-Za-z0-9-]{1,127})\/([0-9a-f]{32})$/;

/**
 * Signs with a key that never leaves Azure Key Vault or Managed HSM (permissions get and sign). Only the digest goes to the
 * service, which answers with r ‖ s; the rest of the system wants DER.
 * @throws DomainError `request.invalid` for another kind of key, `service.unavailable` when the vault does not answer
 */
export async function openAzureKeyVaultSigner(options: AzureKey): Promise<Signer> {
  const [, vault, name, version] = KEY_URL.exec(options.keyUrl) ?? [];
  if (vault === undefined || name === undefined || version === undefined) {
    throw new DomainError('request.invalid', 'An Azure key is named https://<vault>/keys/<name>/<version>, with its version.');
  }
  const { KeyClient, CryptographyClient } = await import('@azure/keyvault-keys');
  const credential = options.credential ?? new (await import('@azure/identity')).DefaultAzureCredential();
  const known = await asked(() => new KeyClient(vault, credential, options.client).getKey(name, { version }));
  const { kty, crv, x, y } = known.key ?? {};
  if ((kty !== 'EC' && kty !== 'EC-HSM') || crv !== 'P-256' || x === undefined || y === undefined) {
    throw new DomainError('request.invalid', `The key ${options.keyUrl} is not an EC key on P-256.`);
  }
  const jwk = { kty: 'EC', crv, x: Buffer.from(x).toString('base64url'), y: Buffer.from(y).toString('base64url') };
  const key = tufKeyOf(createPublicKey({ key: jwk, format: 'jwk' }));
  const cryptography = new CryptographyClient(options.keyUrl, credential, options.client);
  return {
    keyId: tufKeyId(key),
    key,
    async sign(data) {
      const { result } = await asked(() => cryptography.sign('ES256', createHash('sha256').update(data).digest()));
      return derSignature(result);
    },
  };
}

async function asked<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (cause) {
    throw new DomainError('service.unavailable', `Azure Key Vault did not do what was asked: ${(cause as Error).message}`, { cause });
  }
}
