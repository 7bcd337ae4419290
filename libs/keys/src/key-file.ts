import { createPrivateKey, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DomainError } from '@palisade/errors';

export type KeyKind = 'ed25519' | 'p256';

/**
 * Reads a PKCS#8 PEM private key that only its owner may read.
 * @throws DomainError `request.invalid` when others can read the file or it holds no private key
 */
export function readKeyFile(path: string): KeyObject {
  const fd = openSync(path, 'r');
  try {
    if ((fstatSync(fd).mode & 0o077) !== 0) {
      throw new DomainError('request.invalid', `The key file ${path} can be read by others: run chmod 600 on it, and replace the key if it was exposed.`);
    }
    return createPrivateKey(readFileSync(fd));
  } catch (cause) {
    if (cause instanceof DomainError) throw cause;
    throw new DomainError('request.invalid', `The file ${path} does not hold a private key in PEM.`, { cause });
  } finally {
    closeSync(fd);
  }
}

/**
 * Creates a key file with mode 0600, or reads the one that is there. The file appears whole or not at all, and of two
 * concurrent creators both end up with the same key.
 */
export function readOrCreateKeyFile(path: string, kind: KeyKind): KeyObject {
  try {
    return readKeyFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const { privateKey } = kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(fd, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  try {
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(temporary);
  }
  return readKeyFile(path);
}
