import { Readable } from 'node:stream';
import { Controller, Get, Param, Query, Req, Res, StreamableFile } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ExportFlows, ReadClusters, type FlowExport } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { FlowCoverage } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { Paging } from '../paging/page.ts';
import { parsePosition, positionText } from './flow-position.ts';
import { exportFlowsQuery, selectionOf } from './flow-query.ts';
import { flowParquet } from './flow-parquet.ts';
import { flowCsv, flowNdjson, flowOcsfLines, type CursorText } from './flow-text.ts';

const HOUR_US = 3_600_000_000;
const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv; charset=utf-8', ocsf: 'application/x-ndjson', parquet: 'application/vnd.apache.parquet' } as const;
const SUFFIXES = { ndjson: 'ndjson', csv: 'csv', ocsf: 'ocsf.ndjson', parquet: 'parquet' } as const;

type ExportQuery = z.output<typeof exportFlowsQuery>;

@ApiTags('flows')
@Controller('v1/clusters/:clusterId/flows')
export class ExportController {
  readonly #export: ExportFlows;
  readonly #clusters: ReadClusters;
  readonly #paging: Paging;

  constructor(exportFlows: ExportFlows, clusters: ReadClusters, paging: Paging) {
    this.#export = exportFlows;
    this.#clusters = clusters;
    this.#paging = paging;
  }

  @Get('export')
  @Operation({
    id: 'exportFlows',
    summary: 'Export flows, oldest first, as NDJSON (the last line is the coverage), OCSF Network Activity, CSV or Parquet (their coverage is in the header Flow-Coverage); audited; with resumable=true, {"cursor"} lines say where to go on',
    permission: 'flows:export', streams: 'application/x-ndjson',
  })
  async export(
    @InTenant() context: TenantContext,
    @Param('clusterId') clusterId: string,
    @Query({ schema: exportFlowsQuery }) query: ExportQuery,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<StreamableFile> {
    const { id } = await this.#clusters.get(context, clusterId);
    const { format, resumable = false } = query;
    if ((format === 'csv' || format === 'parquet') && (resumable || query.cursor !== undefined)) throw new DomainError('request.invalid', 'CSV and Parquet have no room for cursors: export as ndjson or ocsf to be able to go on.', { pointer: '/resumable' });
    const list = `export flows of ${id}`;
    const asked = { ...(request.query as Record<string, unknown>), limit: 1, cursor: query.cursor };
    const { after } = this.#paging.request(context, list, asked);
    const until = query.until ?? Date.now() * 1000;
    const window = after === undefined ? { sinceUs: query.since ?? until - HOUR_US, untilUs: until } : parseResume(after);
    const answer = await this.#export.execute(context, { clusterId: id, selection: selectionOf(query), ...window }, format);
    void reply.header('flow-coverage', coverageField(answer.coverage));
    const cursor: CursorText = (position) => {
      const next = [window.sinceUs, window.untilUs, positionText(position)].join(' ');
      return this.#paging.answer(context, list, asked, { items: [], next }, String).next ?? '';
    };
    const content = this.#content(answer, format, resumable ? cursor : undefined);
    return new StreamableFile(Readable.from(content, { objectMode: false }), { type: TYPES[format], disposition: `attachment; filename="flows.${SUFFIXES[format]}"` });
  }

  #content(answer: FlowExport, format: ExportQuery['format'], cursor: CursorText | undefined): AsyncGenerator<string | Uint8Array> {
    switch (format) {
      case 'csv': return flowCsv(answer);
      case 'ocsf': return flowOcsfLines(answer, cursor);
      case 'ndjson': return flowNdjson(answer, cursor);
      case 'parquet': return flowParquet(answer);
    }
  }
}

/** Coverage as a dictionary (RFC 9651 §3.2): CSV has no other room for it. */
function coverageField({ complete, lost, sampled }: FlowCoverage): string {
  return `complete=?${complete ? 1 : 0}, lost=${lost}, sampled=${sampled}`;
}

/** The window of the export that broke off (its `since` may have been counted back from then), and where it was. */
function parseResume(text: string): { sinceUs: number; untilUs: number; after: ReturnType<typeof parsePosition> } {
  const [sinceUs, untilUs, position = ''] = text.split(' ');
  return { sinceUs: Number(sinceUs), untilUs: Number(untilUs), after: parsePosition(position) };
}
