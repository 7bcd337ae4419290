import { CSV_HEADER, csvLine, exportLines, toOcsf, type AuditEvent } from '@palisade/audit';
import { matchesAuditFilter, type AuditExport, type AuditFilter, type ReadAudit } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';

export type ExportFormat = 'ndjson' | 'csv' | 'ocsf';

export const EXPORT_TYPES: Readonly<Record<ExportFormat, string>> = { ndjson: 'application/x-ndjson', csv: 'text/csv; charset=utf-8', ocsf: 'application/x-ndjson' };

/** The text of an export, piece by piece. Memory does not grow with it. */
export function exportText(read: ReadAudit, context: TenantContext, begun: AuditExport, filter: AuditFilter, format: ExportFormat): AsyncGenerator<string, void, undefined> {
  switch (format) {
    case 'ndjson':
      // Events that the filter leaves out are needed for the proof; they appear as hashes.
      return exportLines(context.tenantId, read.exported(context, begun), { ...begun, shown: (event) => matchesAuditFilter(event, filter) });
    case 'csv':
      return encoded(read.exported(context, begun, filter), csvLine, CSV_HEADER);
    case 'ocsf':
      return encoded(read.exported(context, begun, filter), (event) => `${JSON.stringify(toOcsf(event))}\n`);
  }
}

async function* encoded(events: AsyncIterable<AuditEvent>, line: (event: AuditEvent) => string, header?: string): AsyncGenerator<string, void, undefined> {
  if (header !== undefined) yield header;
  for await (const event of events) yield line(event);
}
