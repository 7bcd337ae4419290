import { openNote, signNote, type NoteSigner, type NoteVerifier } from './signed-note.ts';

/** A statement about a tenant's log: so many events, this root (c2sp.org/tlog-checkpoint). */
export interface Checkpoint {
  readonly tenantId: string;
  readonly size: number;
  readonly root: Buffer;
  /** When it was signed, RFC 3339: one is signed also when nothing happened, so that silence is visible. */
  readonly time: string;
}

const ORIGIN = 'palisade.io/audit/';

export function signCheckpoint({ tenantId, size, root, time }: Checkpoint, signer: NoteSigner): string {
  return signNote(`${ORIGIN}${tenantId}\n${size}\n${root.toString('base64')}\ntime ${time}\n`, signer);
}

/** The statement, when this key signed it and it has the form; undefined otherwise. */
export function openCheckpoint(note: string, verifier: NoteVerifier): Checkpoint | undefined {
  const [origin = '', size = '', root = '', time = '', end] = openNote(note, verifier)?.split('\n') ?? [];
  if (!origin.startsWith(ORIGIN) || !/^(0|[1-9]\d{0,15})$/.test(size) || !time.startsWith('time ') || end !== '') return undefined;
  const hash = Buffer.from(root, 'base64');
  if (hash.length !== 32) return undefined;
  return { tenantId: origin.slice(ORIGIN.length), size: Number(size), root: hash, time: time.slice('time '.length) };
}
