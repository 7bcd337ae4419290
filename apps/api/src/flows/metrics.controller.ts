import { Controller, Get, Param, StreamableFile } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadClusters, ReadFlowMetrics } from '@palisade/control';
import { prometheusText, type MetricFamily } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';

function file(families: readonly MetricFamily[]): StreamableFile {
  return new StreamableFile(Buffer.from(prometheusText(families)), { type: 'text/plain; version=0.0.4; charset=utf-8' });
}

/** For Prometheus: a scrape job with the API token as bearer. Counters begin anew with the day (UTC). */
@ApiTags('flows')
@Controller('v1')
export class MetricsController {
  readonly #metrics: ReadFlowMetrics;
  readonly #clusters: ReadClusters;

  constructor(metrics: ReadFlowMetrics, clusters: ReadClusters) {
    this.#metrics = metrics;
    this.#clusters = clusters;
  }

  @Get('flows/metrics')
  @Operation({ id: 'getTenantFlowMetrics', summary: "Read today's flow counters of all clusters in the token's scope in Prometheus form, with Hubble's names", permission: 'flows:read', streams: 'text/plain' })
  async tenant(@InTenant() context: TenantContext): Promise<StreamableFile> {
    return file(await this.#metrics.execute(context));
  }

  @Get('clusters/:clusterId/flows/metrics')
  @Operation({ id: 'getFlowMetrics', summary: "Read today's flow counters in Prometheus form, with Hubble's names", permission: 'flows:read', streams: 'text/plain' })
  async cluster(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string): Promise<StreamableFile> {
    const { id } = await this.#clusters.get(context, clusterId);
    return file(await this.#metrics.execute(context, id));
  }
}
