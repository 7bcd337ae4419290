import { Controller, Get, Headers, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadClusters, ReadFlows, type FlowStatistics, type IngestPosition } from '@palisade/control';
import type { Logger } from '@palisade/nest-kit';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { LOGGER } from '../application-parts.ts';
import { OpenStreams } from '../event-streams/open-streams.ts';
import { sendEvents } from '../event-streams/send-events.ts';
import { Paging } from '../paging/page.ts';
import { FLOW_STATISTICS } from './flow-statistics.token.ts';
import { followFlows, ingestPositionText, parseIngestPosition, type CoveredWindow } from './flow-follow.ts';
import { followFlowsQuery, selectionOf } from './flow-query.ts';
import { viewOfCoverage, viewOfFlow } from './flow-view.ts';
import { instantText } from './instant.ts';

@ApiTags('flows')
@Controller('v1/clusters/:clusterId/flows')
export class FollowController {
  readonly #flows: ReadFlows;
  readonly #statistics: FlowStatistics;
  readonly #clusters: ReadClusters;
  readonly #paging: Paging;
  readonly #logger: Logger;
  readonly #streams = new OpenStreams();

  constructor(flows: ReadFlows, @Inject(FLOW_STATISTICS) statistics: FlowStatistics, clusters: ReadClusters, paging: Paging, @Inject(LOGGER) logger: Logger) {
    this.#flows = flows;
    this.#statistics = statistics;
    this.#clusters = clusters;
    this.#paging = paging;
    this.#logger = logger;
  }

  @Get('follow')
  @Operation({ id: 'followFlows', summary: 'Follow flows as they arrive (server-sent events); resumes from Last-Event-ID or cursor; events named coverage say what may be lacking', permission: 'flows:read', streams: 'text/event-stream' })
  async follow(
    @InTenant() context: TenantContext,
    @Param('clusterId') clusterId: string,
    @Query({ schema: followFlowsQuery }) query: z.output<typeof followFlowsQuery>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const cluster = await this.#clusters.get(context, clusterId);
    const list = `follow ${cluster.id}`;
    const asked = { ...(request.query as Record<string, unknown>), limit: 1, cursor: lastEventId ?? query.cursor };
    const from = this.#resume(context, list, asked) ?? (await this.#start(context, query.since));
    const close = this.#streams.admit(context.tenantId);
    const pace = query.since === undefined || asked.cursor !== undefined ? {} : { coverSinceUs: query.since };
    const events = async function* (this: FollowController, gone: AbortSignal): AsyncGenerator<string> {
      for await (const { flows, position, covered } of followFlows(this.#flows, context, { clusterId: cluster.id, selection: selectionOf(query) }, from, gone, pace)) {
        const { next } = this.#paging.answer(context, list, asked, { items: [], next: ingestPositionText(position) }, String);
        const texts = flows.map((flow, index) => eventText(query.fields?.(viewOfFlow(flow)) ?? viewOfFlow(flow), index === flows.length - 1 ? next : undefined));
        if (flows.length === 0) texts.push(`: nothing new\nid: ${next}\n\n`);
        if (covered !== undefined) texts.push(coverageText(covered));
        yield texts.join('');
      }
    }.bind(this);
    try {
      await sendEvents(reply, events, (error) => this.#logger.warn({ err: error }, 'a flow stream broke off'));
    } finally {
      close();
    }
  }

  /** What was stored since then is told first. */
  #start(context: TenantContext, sinceUs: number | undefined): Promise<IngestPosition> {
    return sinceUs === undefined ? this.#flows.now(context) : this.#statistics.positionAt(context, sinceUs);
  }

  #resume(context: TenantContext, list: string, asked: Parameters<Paging['request']>[2]): IngestPosition | undefined {
    const { after } = this.#paging.request(context, list, asked);
    return after === undefined ? undefined : parseIngestPosition(after);
  }
}

/** One flow as an event. The id comes with the last flow of a commit: resuming between two would lose or repeat. */
function eventText(flow: unknown, id: string | undefined): string {
  return `event: flow\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(flow)}\n\n`;
}

/** What the flows told so far may lack; without an id, since it moves nothing. */
function coverageText({ sinceUs, untilUs, coverage }: CoveredWindow): string {
  return `event: coverage\ndata: ${JSON.stringify({ since: instantText(sinceUs), until: instantText(untilUs), ...viewOfCoverage(coverage) })}\n\n`;
}
