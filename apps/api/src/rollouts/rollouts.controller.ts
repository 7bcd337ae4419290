import { Body, Controller, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CreateRollout, ReadRollouts, SteerRollout, type SteerCommand } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { newRolloutSchema, reasonSchema, rolloutDetailSchema, rolloutDetailView, rolloutEventPageSchema, rolloutEventView, rolloutNodePageSchema, rolloutNodesQuery, rolloutNodeView, rolloutPageSchema, rolloutSchema, rolloutView } from './rollout.schema.ts';

type PageQuery = z.output<typeof pageQuery>;
type Reason = z.output<typeof reasonSchema> | undefined;

@ApiTags('rollouts')
@Controller('v1/clusters/:clusterId/rollouts')
export class RolloutsController {
  readonly #create: CreateRollout;
  readonly #steer: SteerRollout;
  readonly #read: ReadRollouts;
  readonly #paging: Paging;

  constructor(create: CreateRollout, steer: SteerRollout, read: ReadRollouts, paging: Paging) {
    this.#create = create;
    this.#steer = steer;
    this.#read = read;
    this.#paging = paging;
  }

  @Post()
  @Operation({ id: 'createRollout', summary: 'Roll a policy revision out to a cluster, wave by wave', permission: 'rollouts:write', status: 201, creates: true, response: rolloutSchema })
  async create(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Body({ schema: newRolloutSchema }) body: z.output<typeof newRolloutSchema>) {
    const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
    return rolloutView(await this.#create.execute(context, { clusterId, ...given }));
  }

  @Get()
  @Operation({ id: 'listRollouts', summary: 'List rollouts, newest first', permission: 'rollouts:read', response: rolloutPageSchema })
  async list(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: pageQuery }) query: PageQuery) {
    const list = `rollouts/${clusterId}`;
    const page = await this.#read.list(context, clusterId, this.#paging.request(context, list, query));
    return this.#paging.answer(context, list, query, page, rolloutView);
  }

  @Get(':rolloutId')
  @Operation({ id: 'getRollout', summary: 'Read one rollout with its waves and the counts of their nodes', permission: 'rollouts:read', response: rolloutDetailSchema })
  async get(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string) {
    return rolloutDetailView(await this.#read.get(context, clusterId, rolloutId));
  }

  @Get(':rolloutId/nodes')
  @Operation({ id: 'listRolloutNodes', summary: 'List the nodes of a rollout with state and reason', permission: 'rollouts:read', response: rolloutNodePageSchema })
  async nodes(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string, @Query({ schema: rolloutNodesQuery }) query: z.output<typeof rolloutNodesQuery>) {
    const list = `rollout-nodes/${rolloutId}`;
    const request = this.#paging.request(context, list, query);
    const page = await this.#read.nodes(context, clusterId, rolloutId, { ...request, ...(query.state === undefined ? {} : { state: query.state }) });
    return this.#paging.answer(context, list, query, page, rolloutNodeView);
  }

  @Get(':rolloutId/events')
  @Operation({ id: 'listRolloutEvents', summary: 'List what happened in a rollout, oldest first; the last cursor follows it live', permission: 'rollouts:read', response: rolloutEventPageSchema })
  async events(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string, @Query({ schema: pageQuery }) query: PageQuery) {
    const list = `rollout-events/${rolloutId}`;
    const page = await this.#read.events(context, clusterId, rolloutId, this.#paging.request(context, list, query));
    return this.#paging.answer(context, list, query, page, rolloutEventView);
  }

  @Post(':rolloutId/halt')
  @Operation({ id: 'haltRollout', summary: 'Halt: no node is offered the generation any more', permission: 'rollouts:write', errors: [409], response: rolloutSchema })
  halt(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string, @Body({ schema: reasonSchema.optional() }) body: Reason) {
    return this.#command(context, clusterId, rolloutId, 'halt', body);
  }

  @Post(':rolloutId/pause')
  @Operation({ id: 'pauseRollout', summary: 'Pause', permission: 'rollouts:write', errors: [409], response: rolloutSchema })
  pause(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string, @Body({ schema: reasonSchema.optional() }) body: Reason) {
    return this.#command(context, clusterId, rolloutId, 'pause', body);
  }

  @Post(':rolloutId/resume')
  @Operation({ id: 'resumeRollout', summary: 'Resume; nodes that went silent are asked again', permission: 'rollouts:write', errors: [409], response: rolloutSchema })
  resume(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string, @Body({ schema: reasonSchema.optional() }) body: Reason) {
    return this.#command(context, clusterId, rolloutId, 'resume', body);
  }

  @Post(':rolloutId/rollback')
  @Operation({ id: 'rollBackRollout', summary: 'Bring back what ran before, as a new and higher generation; answers the rollout that does it', permission: 'rollouts:write', status: 201, errors: [409], response: rolloutSchema })
  rollBack(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('rolloutId') rolloutId: string, @Body({ schema: reasonSchema.optional() }) body: Reason) {
    return this.#command(context, clusterId, rolloutId, 'roll-back', body);
  }

  async #command(context: TenantContext, clusterId: string, rolloutId: string, command: SteerCommand, body: Reason) {
    return rolloutView(await this.#steer.execute(context, clusterId, rolloutId, command, body?.reason));
  }
}
