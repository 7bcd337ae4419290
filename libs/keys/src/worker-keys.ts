import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Signer } from '@palisade/bundle';
import { openFileSigner } from './file-signer.ts';
import { openSigner } from './open-signer.ts';

/** Everything that only the worker holds. */
export interface WorkerKeys {
  /** Image authority. In production its key is offline and this is absent: targets are then signed in a ceremony. */
  readonly image?: Signer;
  readonly director: Signer;
  readonly snapshot: Signer;
  readonly timestamp: Signer;
  /** Issuer of node certificates, PEM. */
  readonly nodeCa: { readonly certificatePem: string; readonly keyPem: string };
  /** Root metadata from version 1 on, in order, exact bytes. */
  readonly roots: readonly Uint8Array[];
}

/**
 * Opens the folder that `palisade-keys init` calls `worker/` (`PALISADE_KEYS_DIR`).
 * @throws DomainError `request.invalid` for keys that others can read; the file system's error for missing files
 */
export function openWorkerKeys(dir: string): WorkerKeys {
  const image = readdirSync(dir).includes('image.key') ? { image: openFileSigner(join(dir, 'image.key')) } : {};
  return {
    ...image,
    director: openFileSigner(join(dir, 'director.key')),
    snapshot: openFileSigner(join(dir, 'snapshot.key')),
    timestamp: openFileSigner(join(dir, 'timestamp.key')),
    nodeCa: readNodeCa(dir),
    roots: readRootChain(join(dir, 'roots')),
  };
}

/** Reads `1.root.json`, `2.root.json`, … until the first number that is missing. */
export function readRootChain(dir: string): readonly Uint8Array[] {
  const names = new Set(readdirSync(dir));
  const chain: Uint8Array[] = [];
  for (let version = 1; names.has(`${version}.root.json`); version += 1) chain.push(readFileSync(join(dir, `${version}.root.json`)));
  return chain;
}

/**
 * As {@link openWorkerKeys}, but a role's key may be elsewhere: where `<role>.signer` is in the folder, it holds a
 * reference (see `openSigner`) and is used instead of `<role>.key`.
 * @throws DomainError `request.invalid`, `service.unavailable`
 */
export async function loadWorkerKeys(dir: string): Promise<WorkerKeys> {
  const names = new Set(readdirSync(dir));
  const signer = async (role: string): Promise<Signer> =>
    names.has(`${role}.signer`) ? openSigner(readFileSync(join(dir, `${role}.signer`), 'utf8').trim()) : openFileSigner(join(dir, `${role}.key`));
  const image = names.has('image.signer') || names.has('image.key') ? { image: await signer('image') } : {};
  const [director, snapshot, timestamp] = await Promise.all([signer('director'), signer('snapshot'), signer('timestamp')]);
  return { ...image, director, snapshot, timestamp, nodeCa: readNodeCa(dir), roots: readRootChain(join(dir, 'roots')) };
}

function readNodeCa(dir: string): WorkerKeys['nodeCa'] {
  return { certificatePem: readFileSync(join(dir, 'node-ca.crt'), 'utf8'), keyPem: readFileSync(join(dir, 'node-ca.key'), 'utf8') };
}
