import { Readable } from 'node:stream';
import { Controller, Get, Param, Query, StreamableFile } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ExportFlows, ReadClusters, SummarizeFlows } from '@palisade/control';
import { hubbleMetrics } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { exportFlowsQuery, selectionOf } from './flow-query.ts';
import { flowCsv, flowNdjson } from './flow-text.ts';

const HOUR_US = 3_600_000_000;
const DAY_US = 24 * HOUR_US;
const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv; charset=utf-8' } as const;

@ApiTags('flows')
@Controller('v1/clusters/:clusterId/flows')
export class ExportController {
  readonly #export: ExportFlows;
  readonly #summaries: SummarizeFlows;
  readonly #clusters: ReadClusters;

  constructor(exportFlows: ExportFlows, summaries: SummarizeFlows, clusters: ReadClusters) {
    this.#export = exportFlows;
    this.#summaries = summaries;
    this.#clusters = clusters;
  }

  @Get('export')
  @Operation({ id: 'exportFlows', summary: 'Export flows, oldest first, as NDJSON (the last line is the coverage) or CSV; audited', permission: 'flows:export', streams: 'application/x-ndjson' })
  async export(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: exportFlowsQuery }) query: z.output<typeof exportFlowsQuery>): Promise<StreamableFile> {
    const { id } = await this.#clusters.get(context, clusterId);
    const untilUs = query.until ?? Date.now() * 1000;
    const asked = { clusterId: id, selection: selectionOf(query), sinceUs: query.since ?? untilUs - HOUR_US, untilUs };
    const answer = await this.#export.execute(context, asked, query.format);
    const text = query.format === 'csv' ? flowCsv(answer) : flowNdjson(answer);
    return new StreamableFile(Readable.from(text, { objectMode: false }), { type: TYPES[query.format], disposition: `attachment; filename="flows.${query.format}"` });
  }

  @Get('metrics')
  @Operation({ id: 'getFlowMetrics', summary: "Read today's flow counters in Prometheus form, with Hubble's names", permission: 'flows:read', streams: 'text/plain' })
  async metrics(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string): Promise<StreamableFile> {
    const { id } = await this.#clusters.get(context, clusterId);
    const nowUs = Date.now() * 1000;
    // From the beginning of the day (UTC): counters begin anew when their sums are small again.
    const { edges } = await this.#summaries.edges(context, { clusterId: id, sinceUs: Math.floor(nowUs / DAY_US) * DAY_US, untilUs: nowUs + 1 });
    return new StreamableFile(Buffer.from(hubbleMetrics(edges)), { type: 'text/plain; version=0.0.4' });
  }
}
