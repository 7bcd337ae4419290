import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadClusters, SummarizeDns, SummarizeFlows, type FlowWindow } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { viewOfCoverage } from './flow-view.ts';
import {
  causeView, changesQuery, changesSchema, changeView, connectionView, dnsNameView, dnsNamesSchema, dropCausesSchema, limitedQuery, serviceMapSchema, summaryView, talkersQuery, talkerView, topTalkersSchema, windowQuery,
} from './summary.schema.ts';

const HOUR_US = 3_600_000_000;

interface AskedWindow {
  readonly since?: number | undefined;
  readonly until?: number | undefined;
}

/** The last hour, unless asked otherwise. */
function windowOf(clusterId: string, { since, until }: AskedWindow): FlowWindow {
  const untilUs = until ?? Date.now() * 1000;
  return { clusterId, sinceUs: since ?? untilUs - HOUR_US, untilUs };
}

@ApiTags('flows')
@Controller('v1/clusters/:clusterId/flows')
export class SummariesController {
  readonly #summaries: SummarizeFlows;
  readonly #dns: SummarizeDns;
  readonly #clusters: ReadClusters;

  constructor(summaries: SummarizeFlows, dns: SummarizeDns, clusters: ReadClusters) {
    this.#summaries = summaries;
    this.#dns = dns;
    this.#clusters = clusters;
  }

  @Get('service-map')
  @Operation({ id: 'getServiceMap', summary: 'Read who talks to whom: ports, verdicts, rates, bytes and HTTP signals', permission: 'flows:read', response: serviceMapSchema })
  async serviceMap(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: windowQuery }) query: z.output<typeof windowQuery>) {
    const { id } = await this.#clusters.get(context, clusterId);
    return summaryView(await this.#summaries.serviceMap(context, windowOf(id, query)), connectionView);
  }

  @Get('http')
  @Operation({ id: 'getHttpSignals', summary: 'Read rate, errors and latency (p50, p95, p99) of HTTP by edge, most requests first', permission: 'flows:read', response: serviceMapSchema })
  async http(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: limitedQuery }) query: z.output<typeof limitedQuery>) {
    const { id } = await this.#clusters.get(context, clusterId);
    return summaryView(await this.#summaries.httpSignals(context, windowOf(id, query), query.limit), connectionView);
  }

  @Get('dns')
  @Operation({ id: 'getDnsNames', summary: 'Read what names were asked for: how often, by how many, with what outcome, how fast', permission: 'flows:read', response: dnsNamesSchema })
  async dns(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: limitedQuery }) query: z.output<typeof limitedQuery>) {
    const { id } = await this.#clusters.get(context, clusterId);
    const { items, beyond, coverage } = await this.#dns.execute(context, windowOf(id, query), query.limit);
    return { items: items.map(dnsNameView), beyond: { ...beyond }, coverage: viewOfCoverage(coverage) };
  }

  @Get('top-talkers')
  @Operation({ id: 'getTopTalkers', summary: 'Read who sends and receives most', permission: 'flows:read', response: topTalkersSchema })
  async topTalkers(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: talkersQuery }) query: z.output<typeof talkersQuery>) {
    const { id } = await this.#clusters.get(context, clusterId);
    return summaryView(await this.#summaries.topTalkers(context, windowOf(id, query), query.measure, query.limit), talkerView);
  }

  @Get('drops')
  @Operation({ id: 'getDropCauses', summary: 'Read what was dropped, by reason and rule', permission: 'flows:read', response: dropCausesSchema })
  async drops(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: windowQuery }) query: z.output<typeof windowQuery>) {
    const { id } = await this.#clusters.get(context, clusterId);
    return summaryView(await this.#summaries.dropCauses(context, windowOf(id, query)), causeView);
  }

  @Get('changes')
  @Operation({ id: 'getFlowChanges', summary: 'Read what is different from an earlier window (by default the one just before)', permission: 'flows:read', response: changesSchema })
  async changes(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: changesQuery }) query: z.output<typeof changesQuery>) {
    const { id } = await this.#clusters.get(context, clusterId);
    const after = windowOf(id, query);
    const untilUs = query.compareUntil ?? after.sinceUs;
    const before = { clusterId: id, sinceUs: query.compareSince ?? untilUs - (after.untilUs - after.sinceUs), untilUs };
    return summaryView(await this.#summaries.changes(context, before, after), changeView);
  }
}
