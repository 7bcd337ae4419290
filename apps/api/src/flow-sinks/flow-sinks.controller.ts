import { Body, Controller, Delete, Get, Headers, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ManageFlowSinks, type FlowSinkChange, type FlowSinkRecord } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { entityTag, expectedVersion } from '../entity-tag.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { flowSinkChangeSchema, flowSinkPageSchema, flowSinkSchema, flowSinkView, newFlowSinkSchema } from './flow-sink.schema.ts';

/** Where flows (as OTLP logs) and metrics are sent to, by the worker. */
@ApiTags('flow-sinks')
@Controller('v1/flow-sinks')
export class FlowSinksController {
  readonly #sinks: ManageFlowSinks;
  readonly #paging: Paging;

  constructor(sinks: ManageFlowSinks, paging: Paging) {
    this.#sinks = sinks;
    this.#paging = paging;
  }

  @Post()
  @Operation({ id: 'createFlowSink', summary: 'Send flows and metrics to an OTLP/HTTP receiver from now on; audited', permission: 'flow-sinks:write', status: 201, creates: true, response: flowSinkSchema })
  async create(@InTenant() context: TenantContext, @Body({ schema: newFlowSinkSchema }) body: z.output<typeof newFlowSinkSchema>, @Res({ passthrough: true }) reply: FastifyReply) {
    return tagged(reply, await this.#sinks.create(context, body));
  }

  @Get()
  @Operation({ id: 'listFlowSinks', summary: 'List flow sinks with how far each has come and what went wrong last', permission: 'flow-sinks:read', response: flowSinkPageSchema })
  async list(@InTenant() context: TenantContext, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const page = await this.#sinks.list(context, this.#paging.request(context, 'flow-sinks', query));
    return this.#paging.answer(context, 'flow-sinks', query, page, flowSinkView);
  }

  @Get(':flowSinkId')
  @Operation({ id: 'getFlowSink', summary: 'Read one flow sink', permission: 'flow-sinks:read', response: flowSinkSchema })
  async get(@InTenant() context: TenantContext, @Param('flowSinkId') id: string, @Res({ passthrough: true }) reply: FastifyReply) {
    return tagged(reply, await this.#sinks.get(context, id));
  }

  @Patch(':flowSinkId')
  @Operation({ id: 'updateFlowSink', summary: 'Change, pause or resume a flow sink; it is tried again at once', permission: 'flow-sinks:write', conditional: true, response: flowSinkSchema })
  async update(
    @InTenant() context: TenantContext, @Param('flowSinkId') id: string, @Headers('if-match') ifMatch: string | undefined,
    @Body({ schema: flowSinkChangeSchema }) body: z.output<typeof flowSinkChangeSchema>, @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const change = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as FlowSinkChange;
    return tagged(reply, await this.#sinks.change(context, id, change, expectedVersion(ifMatch)));
  }

  @Delete(':flowSinkId')
  @Operation({ id: 'removeFlowSink', summary: 'Send nothing there any more', permission: 'flow-sinks:write', status: 204 })
  async remove(@InTenant() context: TenantContext, @Param('flowSinkId') id: string): Promise<void> {
    await this.#sinks.remove(context, id);
  }
}

function tagged(reply: FastifyReply, sink: FlowSinkRecord) {
  void reply.header('etag', entityTag(sink.version));
  return flowSinkView(sink);
}
