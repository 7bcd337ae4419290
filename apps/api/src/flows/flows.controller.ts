import { Controller, Get, Param, Query, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadClusters, ReadFlows, type StoredFlow } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyRequest } from 'fastify';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { Paging } from '../paging/page.ts';
import { parsePosition, positionText } from './flow-position.ts';
import { listFlowsQuery, selectionOf, type ListFlowsQuery } from './flow-query.ts';
import { flowPageView, sentFlowPage, viewOfCoverage, viewOfFlow } from './flow-view.ts';

/** How far back a question goes that does not say. */
const DEFAULT_WINDOW_US = 3_600_000_000;
/** Agents' clocks may run ahead a little. */
const FUTURE_US = 600_000_000;

@ApiTags('flows')
@Controller('v1/clusters/:clusterId/flows')
export class FlowsController {
  readonly #flows: ReadFlows;
  readonly #clusters: ReadClusters;
  readonly #paging: Paging;

  constructor(flows: ReadFlows, clusters: ReadClusters, paging: Paging) {
    this.#flows = flows;
    this.#clusters = clusters;
    this.#paging = paging;
  }

  @Get()
  @Operation({ id: 'listFlows', summary: 'List flows, newest first, by who, what, when, verdict, policy and process', permission: 'flows:read', response: flowPageView, sends: sentFlowPage })
  async list(
    @InTenant() context: TenantContext,
    @Param('clusterId') clusterId: string,
    @Query({ schema: listFlowsQuery }) query: ListFlowsQuery,
    @Req() request: FastifyRequest,
  ) {
    const cluster = await this.#clusters.get(context, clusterId);
    // The cursor belongs to the question as it was asked: `since=15m` is another instant in every request.
    const asked = { ...(request.query as Record<string, unknown>), limit: query.limit, cursor: query.cursor };
    const list = `flows of ${cluster.id}`;
    const { after } = this.#paging.request(context, list, asked);
    const nowUs = Date.now() * 1000;
    const page = await this.#flows.list(context, {
      clusterId: cluster.id,
      selection: selectionOf(query),
      sinceUs: query.since ?? (query.until ?? nowUs) - DEFAULT_WINDOW_US,
      untilUs: query.until ?? nowUs + FUTURE_US,
      order: query.order,
      limit: query.limit,
      ...(after === undefined ? {} : { after: parsePosition(after) }),
    });
    const view = (flow: StoredFlow) => query.fields?.(viewOfFlow(flow)) ?? viewOfFlow(flow);
    const answer = this.#paging.answer(context, list, asked, { items: page.flows, ...(page.next === undefined ? {} : { next: positionText(page.next) }) }, view);
    return { ...answer, coverage: viewOfCoverage(page.coverage) };
  }
}
