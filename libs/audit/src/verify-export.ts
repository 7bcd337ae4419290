import { auditEventHash, GENESIS_HASH, type AuditEvent } from './audit-event.ts';
import { EXPORT_FORMAT, type ExportFooter, type ExportHeader, type ExportRedaction } from './audit-export.ts';
import { canonicalJson, type Json } from './canonical-json.ts';
import { openCheckpoint, type Checkpoint } from './checkpoint.ts';
import { GrowingTree, leafHash } from './merkle-tree.ts';
import type { NoteVerifier } from './signed-note.ts';

/**
 * - `format`: not an export, or cut off
 * - `signature`: a checkpoint that this key did not sign
 * - `sequence`: an event is missing, doubled or out of order
 * - `chain`: an event does not name the hash of the one before
 * - `root`: the events are not those that a checkpoint was signed over: changed, exchanged, or another history
 * - `truncated`: a checkpoint counts more events than there are
 */
export interface VerificationFault {
  readonly kind: 'format' | 'signature' | 'sequence' | 'chain' | 'root' | 'truncated';
  /** Where it shows, from 1. */
  readonly line?: number;
  readonly detail: string;
}

export interface Verification {
  readonly ok: boolean;
  readonly faults: readonly VerificationFault[];
  readonly events: number;
  readonly redacted: number;
  /** Number of the last event. */
  readonly size: number;
  /** Events up to this one are covered by a checkpoint; what follows is chained but not yet signed. */
  readonly signedUpTo: number;
}

const FAULTS_KEPT = 100;

/**
 * Checks an export with nothing but the public key (and checkpoints that were kept elsewhere, to find a history that was
 * forked and signed again). Streams; memory does not grow with the export.
 */
export async function verifyExport(
  lines: AsyncIterable<string> | Iterable<string>,
  verifier: NoteVerifier,
  known: readonly string[] = [],
): Promise<Verification> {
  const check = new ExportCheck(verifier, known);
  for await (const line of lines) if (line !== '') check.line(line);
  return check.finish();
}

class ExportCheck {
  readonly #verifier: NoteVerifier;
  readonly #known: readonly string[];
  readonly #faults: VerificationFault[] = [];
  #tree: GrowingTree | undefined;
  #checkpoints: Checkpoint[] = [];
  /** Hash that the next event must name; undefined after a redacted one. */
  #previousHash: string | undefined;
  #footer: ExportFooter | undefined;
  #lines = 0;
  #events = 0;
  #redacted = 0;
  #signedUpTo = 0;

  constructor(verifier: NoteVerifier, known: readonly string[]) {
    this.#verifier = verifier;
    this.#known = known;
  }

  line(text: string): void {
    this.#lines += 1;
    const value = parse(text);
    if (value === undefined) return this.#fault('format', 'The line is not JSON.');
    if (this.#lines === 1) return this.#header(value as unknown as ExportHeader);
    if (this.#tree === undefined) return;
    if (this.#footer !== undefined) return this.#fault('format', 'There is something after the footer.');
    if (value['type'] === 'footer') {
      this.#footer = value as unknown as ExportFooter;
      return;
    }
    if (value['type'] === 'redacted') this.#redaction(this.#tree, value as unknown as ExportRedaction);
    else this.#event(this.#tree, value);
    this.#compareRoots(this.#tree);
  }

  finish(): Verification {
    const tree = this.#tree ?? new GrowingTree();
    for (const { size } of this.#checkpoints) {
      if (size > tree.size) this.#fault('truncated', `A checkpoint was signed over ${size} events, but the export ends at ${tree.size}: its tail was removed.`, undefined);
    }
    if (this.#tree !== undefined && this.#footer === undefined) this.#fault('format', 'The footer is missing: the export is incomplete.', undefined);
    if (this.#footer !== undefined && (this.#footer.size !== tree.size || this.#footer.root !== tree.root().toString('hex'))) {
      this.#fault('root', `The footer speaks of ${this.#footer.size} events with another root: lines were changed, added or removed.`);
    }
    return { ok: this.#faults.length === 0, faults: this.#faults, events: this.#events, redacted: this.#redacted, size: tree.size, signedUpTo: this.#signedUpTo };
  }

  #header(header: ExportHeader): void {
    if (header.type !== 'header' || header.format !== EXPORT_FORMAT || !Array.isArray(header.prefix) || !Array.isArray(header.checkpoints)) {
      return this.#fault('format', `The first line is no header of ${EXPORT_FORMAT}.`);
    }
    try {
      this.#tree = new GrowingTree(header.firstSeq - 1, header.prefix.map((hash) => Buffer.from(hash, 'hex')));
    } catch (error) {
      return this.#fault('format', `The header does not fit: ${error instanceof Error ? error.message : String(error)}`);
    }
    if (header.firstSeq === 1) this.#previousHash = GENESIS_HASH;
    for (const note of [...header.checkpoints, ...this.#known]) {
      const checkpoint = openCheckpoint(note, this.#verifier);
      if (checkpoint === undefined) this.#fault('signature', 'A checkpoint is not signed with this key.');
      else if (checkpoint.tenantId !== header.tenantId) this.#fault('signature', `A checkpoint is of tenant ${checkpoint.tenantId}, the export of ${header.tenantId}.`);
      else this.#checkpoints.push(checkpoint);
    }
    this.#compareRoots(this.#tree);
  }

  #event(tree: GrowingTree, value: Readonly<Record<string, Json>>): void {
    const event = value as unknown as AuditEvent;
    this.#events += 1;
    if (event.seq !== tree.size + 1) this.#fault('sequence', `Expected event ${tree.size + 1} here and found ${event.seq}: one is missing, doubled or out of order.`);
    if (this.#previousHash !== undefined && event.previousHash !== this.#previousHash) this.#fault('chain', `Event ${event.seq} does not follow the event before it: one of them was changed.`);
    this.#previousHash = auditEventHash(event);
    // Canonical form anew: spelling the same event differently is no change.
    tree.append(leafHash(Buffer.from(canonicalJson(value), 'utf8')));
  }

  #redaction(tree: GrowingTree, { seq, leaf }: ExportRedaction): void {
    this.#redacted += 1;
    if (seq !== tree.size + 1) this.#fault('sequence', `Expected event ${tree.size + 1} here and found ${seq}: one is missing, doubled or out of order.`);
    this.#previousHash = undefined;
    tree.append(Buffer.from(String(leaf), 'hex'));
  }

  /** Every checkpoint is compared when the tree has its size. */
  #compareRoots(tree: GrowingTree): void {
    for (const checkpoint of this.#checkpoints) {
      if (checkpoint.size !== tree.size) continue;
      if (checkpoint.root.equals(tree.root())) this.#signedUpTo = Math.max(this.#signedUpTo, checkpoint.size);
      else this.#fault('root', `The checkpoint of ${checkpoint.time} over ${checkpoint.size} events was signed over other events: one was changed, or this is another history.`);
    }
  }

  #fault(kind: VerificationFault['kind'], detail: string, line: number | undefined = this.#lines): void {
    if (this.#faults.length < FAULTS_KEPT) this.#faults.push({ kind, detail, ...(line === undefined ? {} : { line }) });
  }
}

function parse(text: string): Readonly<Record<string, Json>> | undefined {
  try {
    const value = JSON.parse(text) as Json;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, Json>>) : undefined;
  } catch {
    return undefined;
  }
}
