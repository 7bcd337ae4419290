import { Readable } from 'node:stream';
import { Controller, Get, Query, StreamableFile } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadAudit } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { Paging } from '../paging/page.ts';
import { auditExportQuery, auditListQuery, auditPageSchema, checkpointListSchema, toAuditFilter } from './audit-event.schema.ts';
import { EXPORT_TYPES, exportText } from './audit-export-stream.ts';

const CHECKPOINTS_SHOWN = 100;

@ApiTags('audit')
@Controller('v1/audit')
export class AuditEventsController {
  readonly #read: ReadAudit;
  readonly #paging: Paging;

  constructor(read: ReadAudit, paging: Paging) {
    this.#read = read;
    this.#paging = paging;
  }

  @Get('events')
  @Operation({ id: 'listAuditEvents', summary: 'List audit events, newest first', permission: 'audit:read', response: auditPageSchema })
  async list(@InTenant() context: TenantContext, @Query({ schema: auditListQuery }) query: z.output<typeof auditListQuery>) {
    const { limit, after } = this.#paging.request<number>(context, 'audit-events', query);
    const page = await this.#read.list(context, toAuditFilter(query), { limit, ...(after === undefined ? {} : { afterSeq: after }) });
    return this.#paging.answer(context, 'audit-events', query, page, (event) => event);
  }

  @Get('events/export')
  @Operation({ id: 'exportAuditEvents', summary: 'Export audit events, oldest first, with what is needed to verify them offline', permission: 'audit:export', streams: 'application/x-ndjson' })
  async export(@InTenant() context: TenantContext, @Query({ schema: auditExportQuery }) query: z.output<typeof auditExportQuery>): Promise<StreamableFile> {
    const begun = await this.#read.beginExport(context, query.afterSeq);
    const text = exportText(this.#read, context, begun, toAuditFilter(query), query.format);
    return new StreamableFile(Readable.from(text, { objectMode: false }), { type: EXPORT_TYPES[query.format], disposition: `attachment; filename="audit-events.${query.format === 'csv' ? 'csv' : 'ndjson'}"` });
  }

  @Get('checkpoints')
  @Operation({ id: 'listAuditCheckpoints', summary: 'List the newest signed checkpoints of the audit log; keep some elsewhere', permission: 'audit:read', response: checkpointListSchema })
  async checkpoints(@InTenant() context: TenantContext) {
    const checkpoints = await this.#read.checkpoints(context, CHECKPOINTS_SHOWN);
    return { items: checkpoints.map(({ tree, note, createdAt }) => ({ size: tree.size, note, createdAt: createdAt.toISOString() })) };
  }
}
