export { openFileSigner } from './file-signer.ts';
export { readKeyFile, readOrCreateKeyFile, type KeyKind } from './key-file.ts';
export { openWorkerKeys, readRootChain, type WorkerKeys } from './worker-keys.ts';
