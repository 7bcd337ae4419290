import type { AuditEvent } from './audit-event.ts';

const COLUMNS: readonly (readonly [name: string, value: (event: AuditEvent) => string | number | undefined])[] = [
  ['seq', ({ seq }) => seq],
  ['time', ({ time }) => time],
  ['action', ({ action }) => action],
  ['outcome', ({ outcome }) => outcome],
  ['actor_kind', ({ actor }) => actor.kind],
  ['actor_id', ({ actor }) => actor.id],
  ['actor_name', ({ actor }) => actor.name],
  ['target_kind', ({ target }) => target.kind],
  ['target_id', ({ target }) => target.id],
  ['target_name', ({ target }) => target.name],
  ['summary', ({ summary }) => summary],
  ['request_id', ({ requestId }) => requestId],
  ['source_address', ({ sourceAddress }) => sourceAddress],
  ['id', ({ id }) => id],
  ['previous_hash', ({ previousHash }) => previousHash],
];

/** RFC 4180, with CRLF. */
export const CSV_HEADER = `${COLUMNS.map(([name]) => name).join(',')}\r\n`;

/** One line. For people and spreadsheets; the canonical lines are what can be verified. */
export function csvLine(event: AuditEvent): string {
  return `${COLUMNS.map(([, value]) => field(String(value(event) ?? ''))).join(',')}\r\n`;
}

/** A field that a spreadsheet would take for a formula gets an apostrophe in front (OWASP: CSV injection). */
function field(text: string): string {
  const guarded = /^[=+\-@\t\r\n|%]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}
