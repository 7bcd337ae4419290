import { auditEventBytes, type AuditEvent } from './audit-event.ts';
import { canonicalJson } from './canonical-json.ts';
import { GrowingTree, leafHash } from './merkle-tree.ts';

export const EXPORT_FORMAT = 'palisade-audit-export/1';

/**
 * An export is text, one JSON value a line: a header, then the events in order (each the canonical bytes that were
 * hashed), then a footer. Events that a filter leaves out are there as their leaf hash, so that the whole tree can be
 * computed from any export and compared with the signed checkpoints. Lines that are not events have a `type`.
 */
export interface ExportHeader {
  readonly type: 'header';
  readonly format: typeof EXPORT_FORMAT;
  readonly tenantId: string;
  /** Sequence number of the first line after the header. */
  readonly firstSeq: number;
  /** Complete subtrees before `firstSeq`, largest first (hex): an export that goes on where another ended. */
  readonly prefix: readonly string[];
  /** Signed notes, by size, as they were when the export began. */
  readonly checkpoints: readonly string[];
}

export interface ExportRedaction {
  readonly type: 'redacted';
  readonly seq: number;
  /** Hex. */
  readonly leaf: string;
}

export interface ExportFooter {
  readonly type: 'footer';
  readonly size: number;
  /** Hex. */
  readonly root: string;
}

/**
 * Writes an export line by line with constant memory.
 *
 * @param events every event from `prefix.size + 1` on, without gaps
 * @param shown false: its content is left out
 */
export async function* exportLines(
  tenantId: string,
  events: AsyncIterable<AuditEvent>,
  options: { readonly checkpoints: readonly string[]; readonly prefix?: GrowingTree; readonly shown?: (event: AuditEvent) => boolean },
): AsyncGenerator<string, void, undefined> {
  const tree = new GrowingTree(options.prefix?.size, options.prefix?.subtrees);
  yield line({
    type: 'header',
    format: EXPORT_FORMAT,
    tenantId,
    firstSeq: tree.size + 1,
    prefix: tree.subtrees.map((hash) => hash.toString('hex')),
    checkpoints: [...options.checkpoints],
  });
  for await (const event of events) {
    const bytes = auditEventBytes(event);
    const leaf = leafHash(bytes);
    tree.append(leaf);
    const shown = options.shown?.(event) ?? true;
    yield shown ? `${bytes.toString('utf8')}\n` : line({ type: 'redacted', seq: event.seq, leaf: leaf.toString('hex') });
  }
  yield line({ type: 'footer', size: tree.size, root: tree.root().toString('hex') });
}

function line(value: { readonly [key: string]: string | number | readonly string[] }): string {
  return `${canonicalJson(value)}\n`;
}
