import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AUDIT_EVENT_VERSION, auditEventBytes, auditEventHash, GENESIS_HASH, type AuditEvent } from './audit-event.ts';
import { exportLines } from './audit-export.ts';
import { openCheckpoint, signCheckpoint } from './checkpoint.ts';
import { GrowingTree, leafHash } from './merkle-tree.ts';
import { openNote, parseVerifierKey, signNote, verifierKey, type NoteSigner } from './signed-note.ts';
import { verifyExport, type Verification } from './verify-export.ts';

const tenantId = '0198c0de-0000-7000-8000-000000000001';
const newSigner = (): NoteSigner => ({ name: 'palisade-audit', privateKey: generateKeyPairSync('ed25519').privateKey });
const signer = newSigner();
const verifier = parseVerifierKey(verifierKey(signer));

function history(count: number, change: (event: AuditEvent) => AuditEvent = (event) => event): AuditEvent[] {
  const events: AuditEvent[] = [];
  let previousHash = GENESIS_HASH;
  for (let seq = 1; seq <= count; seq++) {
    const event = change({
      version: AUDIT_EVENT_VERSION,
      id: `e-${seq}`,
      tenantId,
      seq,
      time: new Date(seq * 1000).toISOString(),
      action: 'cluster.updated',
      outcome: 'success',
      actor: { kind: 'token', id: 't', name: 'ci' },
      target: { kind: 'cluster', id: `c-${seq}` },
      summary: `Change ${seq}`,
      previousHash,
    });
    previousHash = auditEventHash(event);
    events.push(event);
  }
  return events;
}

function checkpointOver(events: readonly AuditEvent[], by = signer): string {
  const tree = treeOf(events);
  return signCheckpoint({ tenantId, size: tree.size, root: tree.root(), time: '2026-01-01T00:00:00Z' }, by);
}

function treeOf(events: readonly AuditEvent[]): GrowingTree {
  const tree = new GrowingTree();
  for (const event of events) tree.append(leafHash(auditEventBytes(event)));
  return tree;
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

async function exported(events: readonly AuditEvent[], options: Partial<Parameters<typeof exportLines>[2]> = {}): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of exportLines(tenantId, each(events), { checkpoints: [checkpointOver(events)], ...options })) lines.push(line.trimEnd());
  return lines;
}

const kinds = ({ faults }: Verification): string[] => [...new Set(faults.map(({ kind }) => kind))].toSorted();

describe('verifyExport', () => {
  it('accepts an honest export and says how far it is signed', async () => {
    const events = history(40);
    const lines = await exported(events, { checkpoints: [checkpointOver(events.slice(0, 10)), checkpointOver(events.slice(0, 33))] });
    expect(await verifyExport(lines, verifier)).toEqual({ ok: true, faults: [], events: 40, redacted: 0, size: 40, signedUpTo: 33 });
  });

  it('accepts a filtered export and one that goes on where another ended', async () => {
    const events = history(40);
    const filtered = await exported(events, { shown: ({ seq }) => seq % 3 === 0 });
    expect(await verifyExport(filtered, verifier)).toMatchObject({ ok: true, events: 13, redacted: 27, signedUpTo: 40 });
    expect(filtered.join()).not.toContain('Change 4"');
    const rest = await exported(events.slice(21), { prefix: treeOf(events.slice(0, 21)), checkpoints: [checkpointOver(events)] });
    expect(await verifyExport(rest, verifier)).toMatchObject({ ok: true, events: 19, size: 40, signedUpTo: 40 });
  });

  it('finds a changed field', async () => {
    const lines = await exported(history(20));
    lines[7] = lines[7]!.replace('Change 7', 'Change 8');
    expect(kinds(await verifyExport(lines, verifier))).toEqual(['chain', 'root']);
  });

  it('finds a changed last event, which no other event names', async () => {
    const lines = await exported(history(20));
    lines[20] = lines[20]!.replace('Change 20', 'Change 21');
    expect(kinds(await verifyExport(lines, verifier))).toContain('root');
  });

  it('finds a removed row', async () => {
    const lines = await exported(history(20));
    lines.splice(7, 1);
    expect(kinds(await verifyExport(lines, verifier))).toEqual(['chain', 'root', 'sequence', 'truncated']);
  });

  it('finds a removed tail, also with a new footer', async () => {
    const events = history(20);
    const lines = await exported(events.slice(0, 15), { checkpoints: [checkpointOver(events)] });
    expect(kinds(await verifyExport(lines, verifier))).toEqual(['truncated']);
  });

  it('finds an export that was cut off', async () => {
    const lines = await exported(history(20));
    expect(kinds(await verifyExport(lines.slice(0, -1), verifier))).toEqual(['format']);
  });

  it('finds a reordered pair', async () => {
    const lines = await exported(history(20));
    [lines[7], lines[8]] = [lines[8]!, lines[7]!];
    expect(kinds(await verifyExport(lines, verifier))).toEqual(['chain', 'root', 'sequence']);
  });

  it('finds a history that was written anew, chained rightly and without the key', async () => {
    const events = history(20);
    const forged = history(20, (event) => (event.seq === 7 ? { ...event, summary: 'Nothing' } : event));
    const lines = await exported(forged, { checkpoints: [checkpointOver(events)] });
    expect(kinds(await verifyExport(lines, verifier))).toEqual(['root']);
    const selfSigned = await exported(forged, { checkpoints: [checkpointOver(forged, newSigner())] });
    expect(kinds(await verifyExport(selfSigned, verifier))).toEqual(['signature']);
  });

  it('finds a history that was forked and signed again, given a checkpoint of before', async () => {
    const kept = checkpointOver(history(12));
    const forked = await exported(history(20, (event) => (event.seq === 3 ? { ...event, summary: 'Other' } : event)));
    expect((await verifyExport(forked, verifier)).ok).toBe(true);
    expect(kinds(await verifyExport(forked, verifier, [kept]))).toEqual(['root']);
  });

  it('finds a checkpoint of another tenant', async () => {
    const events = history(3);
    const tree = treeOf(events);
    const foreign = signCheckpoint({ tenantId: 'other', size: 3, root: tree.root(), time: '2026-01-01T00:00:00Z' }, signer);
    expect(kinds(await verifyExport(await exported(events, { checkpoints: [foreign] }), verifier))).toEqual(['signature']);
  });

  it('finds any single character changed in any event', async () => {
    const lines = await exported(history(6));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 6 }), fc.nat(), fc.integer({ min: 32, max: 126 }), async (line, position, code) => {
        const text = lines[line]!;
        const at = position % text.length;
        const changed = `${text.slice(0, at)}${String.fromCharCode(code)}${text.slice(at + 1)}`;
        if (changed === text) return;
        expect((await verifyExport(lines.with(line, changed), verifier)).ok).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it('ends in a fault, never in an exception, whatever the lines are', async () => {
    const honest = await exported(history(3));
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(fc.json(), fc.string(), fc.constantFrom(...honest)), { maxLength: 8 }), async (lines) => {
        const result = await verifyExport(lines, verifier);
        expect(result.faults.length <= 100).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a signed note', () => {
  it('opens with its own key only, unchanged only', () => {
    const note = signNote('hello\nworld\n', signer);
    expect(openNote(note, verifier)).toBe('hello\nworld\n');
    expect(openNote(note, parseVerifierKey(verifierKey(newSigner())))).toBeUndefined();
    expect(openNote(note.replace('world', 'w0rld'), verifier)).toBeUndefined();
    expect(openNote(`${note}— other AAAA\n`, verifier)).toBe('hello\nworld\n');
  });

  it('verifies the example key and note of the Go implementation (golang.org/x/mod/sumdb/note)', () => {
    const key = parseVerifierKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
    const note =
      'If you think cryptography is the answer to your problem,\nthen you don\'t know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';
    expect(openNote(note, key)).toContain('cryptography is the answer');
  });

  it('as a checkpoint says what was signed', () => {
    const root = Buffer.alloc(32, 7);
    const checkpoint = { tenantId, size: 5, root, time: '2026-01-01T00:00:00Z' };
    expect(openCheckpoint(signCheckpoint(checkpoint, signer), verifier)).toEqual(checkpoint);
    expect(openCheckpoint(signNote('something else\n', signer), verifier)).toBeUndefined();
  });
});
