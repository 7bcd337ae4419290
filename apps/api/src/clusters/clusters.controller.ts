import { Body, Controller, Get, Headers, Param, Patch, Post, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CreateCluster, ReadClusters, UpdateCluster } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { entityTag, expectedVersion } from '../entity-tag.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { clusterChangeSchema, clusterPageSchema, clusterSchema, clusterView, newClusterSchema } from './cluster.schema.ts';

@ApiTags('clusters')
@Controller('v1/clusters')
export class ClustersController {
  readonly #create: CreateCluster;
  readonly #update: UpdateCluster;
  readonly #read: ReadClusters;
  readonly #paging: Paging;

  constructor(create: CreateCluster, update: UpdateCluster, read: ReadClusters, paging: Paging) {
    this.#create = create;
    this.#update = update;
    this.#read = read;
    this.#paging = paging;
  }

  @Post()
  @Operation({ id: 'createCluster', summary: 'Register a cluster', permission: 'clusters:write', status: 201, creates: true, response: clusterSchema })
  async create(@InTenant() context: TenantContext, @Body({ schema: newClusterSchema }) body: z.output<typeof newClusterSchema>, @Res({ passthrough: true }) reply: FastifyReply) {
    const cluster = await this.#create.execute(context, { name: body.name, ...(body.settings === undefined ? {} : { settings: definedOnly(body.settings) }) });
    void reply.headers({ etag: entityTag(cluster.version), location: `/v1/clusters/${cluster.id}` });
    return clusterView(cluster);
  }

  @Get()
  @Operation({ id: 'listClusters', summary: 'List clusters', permission: 'clusters:read', response: clusterPageSchema })
  async list(@InTenant() context: TenantContext, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const page = await this.#read.list(context, this.#paging.request(context, 'clusters', query));
    return this.#paging.answer(context, 'clusters', query, page, clusterView);
  }

  @Get(':clusterId')
  @Operation({ id: 'getCluster', summary: 'Read one cluster', permission: 'clusters:read', response: clusterSchema })
  async get(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Res({ passthrough: true }) reply: FastifyReply) {
    const cluster = await this.#read.get(context, clusterId);
    void reply.header('etag', entityTag(cluster.version));
    return clusterView(cluster);
  }

  @Patch(':clusterId')
  @Operation({ id: 'updateCluster', summary: 'Change name or settings of a cluster', permission: 'clusters:write', conditional: true, errors: [409], response: clusterSchema })
  async update(
    @InTenant() context: TenantContext,
    @Param('clusterId') clusterId: string,
    @Body({ schema: clusterChangeSchema }) body: z.output<typeof clusterChangeSchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const expected = expectedVersion(ifMatch);
    const cluster = await this.#update.execute(context, {
      id: clusterId,
      ...(body.name === undefined ? {} : { name: body.name }),
      ...(body.settings === undefined ? {} : { settings: definedOnly(body.settings) }),
      ...(expected === undefined ? {} : { expectedVersion: expected }),
    });
    void reply.header('etag', entityTag(cluster.version));
    return clusterView(cluster);
  }
}

interface SettingsChange {
  readonly hostFirewall?: boolean | undefined;
  readonly requireApproval?: boolean | undefined;
}

function definedOnly({ hostFirewall, requireApproval }: SettingsChange): { hostFirewall?: boolean; requireApproval?: boolean } {
  return { ...(hostFirewall === undefined ? {} : { hostFirewall }), ...(requireApproval === undefined ? {} : { requireApproval }) };
}
