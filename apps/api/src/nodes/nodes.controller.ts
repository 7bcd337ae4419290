import { Body, Controller, Delete, Get, Param, Patch, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ManageNodes } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { nodeChangeSchema, nodePageSchema, nodeSchema, nodeView } from './node.schema.ts';

@ApiTags('nodes')
@Controller('v1/clusters/:clusterId/nodes')
export class NodesController {
  readonly #nodes: ManageNodes;
  readonly #paging: Paging;

  constructor(nodes: ManageNodes, paging: Paging) {
    this.#nodes = nodes;
    this.#paging = paging;
  }

  @Get()
  @Operation({ id: 'listNodes', summary: 'List the nodes of a cluster', permission: 'nodes:read', response: nodePageSchema })
  async list(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const list = `nodes/${clusterId}`;
    const page = await this.#nodes.list(context, clusterId, this.#paging.request(context, list, query));
    return this.#paging.answer(context, list, query, page, nodeView);
  }

  @Get(':nodeId')
  @Operation({ id: 'getNode', summary: 'Read one node', permission: 'nodes:read', response: nodeSchema })
  async get(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('nodeId') nodeId: string) {
    return nodeView(await this.#nodes.get(context, clusterId, nodeId));
  }

  @Patch(':nodeId')
  @Operation({ id: 'updateNode', summary: 'Assign address ranges to a node, or let a locked node in again', permission: 'nodes:write', errors: [409], response: nodeSchema })
  async update(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('nodeId') nodeId: string, @Body({ schema: nodeChangeSchema }) body: z.output<typeof nodeChangeSchema>) {
    if (body.addressRanges !== undefined) await this.#nodes.assignRanges(context, clusterId, nodeId, body.addressRanges);
    if (body.state !== undefined) await this.#nodes.unlock(context, clusterId, nodeId, body.reason ?? `Asked for by ${context.actor.name}.`);
    return nodeView(await this.#nodes.get(context, clusterId, nodeId));
  }

  @Delete(':nodeId')
  @Operation({ id: 'revokeNode', summary: 'Revoke a node: it is refused at its next check-in, and what its kernel enforces stays', permission: 'nodes:write', response: nodeSchema })
  async revoke(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('nodeId') nodeId: string) {
    return nodeView(await this.#nodes.revoke(context, clusterId, nodeId, `Asked for by ${context.actor.name}.`));
  }
}
