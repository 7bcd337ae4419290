import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { verifierKey, type NoteSigner } from '@palisade/audit';

const NAME = 'palisade-audit';

/**
 * The Ed25519 key that signs audit checkpoints: `audit.key` in the folder, made there (mode 0600) when it is missing.
 * `audit.pub` beside it is the verifier key that auditors get.
 */
export function openAuditSigner(dir: string): NoteSigner {
  const signer: NoteSigner = { name: NAME, privateKey: createPrivateKey(readOrCreate(join(dir, 'audit.key'))) };
  writeFileSync(join(dir, 'audit.pub'), `${verifierKey(signer)}\n`);
  return signer;
}

function readOrCreate(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const temporary = `${path}.${process.pid}.new`;
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, pem);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    // A link, not a rename: when two workers start at once the first key stays.
    linkSync(temporary, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(temporary);
  }
  return readFileSync(path, 'utf8');
}
