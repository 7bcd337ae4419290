export { openAwsKmsSigner, type AwsKmsKey } from './aws/aws-kms-signer.ts';
export { openAzureKeyVaultSigner, type AzureKey } from './azure/azure-key-vault-signer.ts';
export { openFileSigner } from './file-signer.ts';
export { readKeyFile, readOrCreateKeyFile, type KeyKind } from './key-file.ts';
export { openSigner } from './open-signer.ts';
export { loadWorkerKeys, openWorkerKeys, readRootChain, type WorkerKeys } from './worker-keys.ts';
