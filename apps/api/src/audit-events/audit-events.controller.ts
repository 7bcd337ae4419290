import { Readable } from 'node:stream';
import { Controller, Get, Query, StreamableFile } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { auditEventBytes, type AuditEvent } from '@palisade/audit';
import { ReadAudit } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { Paging } from '../paging/page.ts';
import { auditExportQuery, auditListQuery, auditPageSchema, toAuditFilter } from './audit-event.schema.ts';

@ApiTags('audit')
@Controller('v1/audit/events')
export class AuditEventsController {
  readonly #read: ReadAudit;
  readonly #paging: Paging;

  constructor(read: ReadAudit, paging: Paging) {
    this.#read = read;
    this.#paging = paging;
  }

  @Get()
  @Operation({ id: 'listAuditEvents', summary: 'List audit events, newest first', permission: 'audit:read', response: auditPageSchema })
  async list(@InTenant() context: TenantContext, @Query({ schema: auditListQuery }) query: z.output<typeof auditListQuery>) {
    const { limit, after } = this.#paging.request<number>(context, 'audit-events', query);
    const page = await this.#read.list(context, toAuditFilter(query), { limit, ...(after === undefined ? {} : { afterSeq: after }) });
    return this.#paging.answer(context, 'audit-events', query, page, (event) => event);
  }

  @Get('export')
  @Operation({ id: 'exportAuditEvents', summary: 'Export audit events as NDJSON of canonical JSON, oldest first', permission: 'audit:export', streams: 'application/x-ndjson' })
  export(@InTenant() context: TenantContext, @Query({ schema: auditExportQuery }) query: z.output<typeof auditExportQuery>): StreamableFile {
    const events = this.#read.export(context, toAuditFilter(query), query.afterSeq);
    return new StreamableFile(Readable.from(lines(events)), { type: 'application/x-ndjson', disposition: 'attachment; filename="audit-events.ndjson"' });
  }
}

async function* lines(events: AsyncIterable<AuditEvent>): AsyncGenerator<Buffer> {
  for await (const event of events) yield Buffer.concat([auditEventBytes(event), Buffer.from('\n')]);
}
