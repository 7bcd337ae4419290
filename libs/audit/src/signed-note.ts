import { createHash, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { DomainError } from '@palisade/errors';

/** Signed notes as of C2SP (c2sp.org/signed-note) with Ed25519 keys: text, an empty line, signature lines. */

/** Signature type of Ed25519. */
const ED25519 = 0x01;
const KEY_ID_BYTES = 4;
/** DER of a SubjectPublicKeyInfo with an Ed25519 key, up to the 32 bytes of the key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

export interface NoteSigner {
  /** Name of the key: no spaces, no plus. */
  readonly name: string;
  readonly privateKey: KeyObject;
}

export interface NoteVerifier {
  readonly name: string;
  readonly keyId: Buffer;
  readonly publicKey: KeyObject;
}

/** The text form of a public key: `<name>+<key id, hex>+<base64 of type and key>`. */
export function verifierKey({ name, privateKey }: NoteSigner): string {
  const raw = rawKey(createPublicKey(privateKey));
  return `${name}+${keyIdOf(name, raw).toString('hex')}+${Buffer.concat([Uint8Array.of(ED25519), raw]).toString('base64')}`;
}

/** Throws `request.invalid` for what is no verifier key. */
export function parseVerifierKey(text: string): NoteVerifier {
  const [, name = '', id = '', encoded = ''] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text.trim()) ?? [];
  const key = Buffer.from(encoded, 'base64');
  const raw = key.subarray(1);
  if (key[0] !== ED25519 || raw.length !== 32 || keyIdOf(name, raw).toString('hex') !== id) {
    throw new DomainError('request.invalid', 'This is no verifier key: expected <name>+<8 hex digits>+<base64>, as it was printed when the key was made.');
  }
  return { name, keyId: keyIdOf(name, raw), publicKey: createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' }) };
}

/** @param text ends with a newline and has no empty line at its end */
export function signNote(text: string, signer: NoteSigner): string {
  if (!text.endsWith('\n')) throw new RangeError('The text of a note ends with a newline.');
  const signature = sign(null, Buffer.from(text, 'utf8'), signer.privateKey);
  const keyId = keyIdOf(signer.name, rawKey(createPublicKey(signer.privateKey)));
  return `${text}\n\u2014 ${signer.name} ${Buffer.concat([keyId, signature]).toString('base64')}\n`;
}

/** The text of a note, when this key signed it; undefined otherwise. Signatures of other keys are passed over. */
export function openNote(note: string, verifier: NoteVerifier): string | undefined {
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) return undefined;
  const text = note.slice(0, split + 1);
  const signatures = note.slice(split + 2, -1).split('\n');
  const signed = signatures.some((line) => {
    const [dash, name, encoded, ...rest] = line.split(' ');
    if (dash !== '\u2014' || name !== verifier.name || encoded === undefined || rest.length > 0) return false;
    const bytes = Buffer.from(encoded, 'base64');
    return bytes.subarray(0, KEY_ID_BYTES).equals(verifier.keyId) && verify(null, Buffer.from(text, 'utf8'), verifier.publicKey, bytes.subarray(KEY_ID_BYTES));
  });
  return signed ? text : undefined;
}

function keyIdOf(name: string, raw: Uint8Array): Buffer {
  return createHash('sha256').update(`${name}\n`).update(Uint8Array.of(ED25519)).update(raw).digest().subarray(0, KEY_ID_BYTES);
}

function rawKey(key: KeyObject): Buffer {
  const der = key.export({ format: 'der', type: 'spki' });
  if (!der.subarray(0, SPKI_PREFIX.length).equals(SPKI_PREFIX)) throw new TypeError('Notes are signed with Ed25519 keys.');
  return der.subarray(SPKI_PREFIX.length);
}
