import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get, Headers, Inject, Param, Query, Req, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { isUuid, ReadRollouts } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { Logger } from '@palisade/nest-kit';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { LOGGER } from '../application-parts.ts';
import { OpenStreams } from '../event-streams/open-streams.ts';
import { sendEvents } from '../event-streams/send-events.ts';
import { followRollout } from './rollout-follow.ts';

export const followRolloutQuery = z.strictObject({ after: z.string().optional() });

@ApiTags('rollouts')
@Controller('v1/clusters/:clusterId/rollouts')
export class FollowRolloutController {
  readonly #read: ReadRollouts;
  readonly #logger: Logger;
  readonly #streams = new OpenStreams();

  constructor(read: ReadRollouts, @Inject(LOGGER) logger: Logger) {
    this.#read = read;
    this.#logger = logger;
  }

  @Get(':rolloutId/follow')
  @Operation({ id: 'followRollout', summary: 'Follow a rollout as it happens (server-sent events: what happened, and progress by state); resumes from Last-Event-ID', permission: 'rollouts:read', streams: 'text/event-stream' })
  async follow(
    @InTenant() context: TenantContext,
    @Param('clusterId') clusterId: string,
    @Param('rolloutId') rolloutId: string,
    @Query({ schema: followRolloutQuery }) query: z.output<typeof followRolloutQuery>,
    @Headers('last-event-id') lastEventId: string | undefined,
    @Req() _request: FastifyRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const after = lastEventId ?? query.after;
    if (after !== undefined && !isUuid(after)) throw new DomainError('request.invalid', 'Resume with the id of an event of this rollout.', { pointer: '/after' });
    await this.#read.get(context, clusterId, rolloutId);
    const close = this.#streams.admit(context.tenantId);
    const pause = (gone: AbortSignal) => () => delay(500, undefined, { signal: gone }).catch(() => undefined);
    try {
      await sendEvents(
        reply,
        (gone) => followRollout({ read: this.#read, context, clusterId, rolloutId, after, pause: pause(gone), gone }),
        (error) => this.#logger.warn({ err: error }, 'a rollout stream broke off'),
      );
    } finally {
      close();
    }
  }
}
