import { Body, Controller, Delete, Get, Headers, Param, Post, Query, Res } from '@nestjs/common';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import { ApplyPolicies, ApprovePolicies, ReadPolicies, RemovePolicy } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { entityTag, expectedVersion } from '../entity-tag.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import {
  appliedSchema,
  appliedView,
  approvalSchema,
  approvalView,
  applyBodySchema,
  applyQuerySchema,
  policyDetailSchema,
  policyDetailView,
  policyListQuery,
  policyPageSchema,
  policyView,
  revisionPageSchema,
  revisionParam,
  revisionSchema,
  revisionView,
} from './policy.schema.ts';

@ApiTags('policies')
@Controller('v1/clusters/:clusterId')
export class PoliciesController {
  readonly #apply: ApplyPolicies;
  readonly #approve: ApprovePolicies;
  readonly #remove: RemovePolicy;
  readonly #read: ReadPolicies;
  readonly #paging: Paging;

  constructor(apply: ApplyPolicies, approve: ApprovePolicies, remove: RemovePolicy, read: ReadPolicies, paging: Paging) {
    this.#apply = apply;
    this.#approve = approve;
    this.#remove = remove;
    this.#read = read;
    this.#paging = paging;
  }

  @Post('policies')
  @ApiConsumes('application/json', 'application/yaml')
  @Operation({ id: 'applyPolicies', summary: 'Apply policy objects: all of them become one revision, or none', permission: 'policies:write', status: 201, creates: true, conditional: true, errors: [413], response: appliedSchema })
  async apply(
    @InTenant() context: TenantContext,
    @Param('clusterId') clusterId: string,
    @Query({ schema: applyQuerySchema }) query: z.output<typeof applyQuerySchema>,
    @Body({ schema: applyBodySchema }) body: z.output<typeof applyBodySchema>,
    @Headers('if-match') ifMatch: string | undefined,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const given = typeof body === 'string' ? { documents: body } : body;
    const mode = query.mode ?? ('mode' in given ? given.mode : undefined);
    const dryRun = query.dryRun ?? ('dryRun' in given ? given.dryRun : undefined);
    const expected = expectedVersion(ifMatch);
    const applied = await this.#apply.execute(context, {
      clusterId,
      text: given.documents,
      ...(mode === undefined ? {} : { mode }),
      ...(dryRun === undefined ? {} : { dryRun }),
      ...(expected === undefined ? {} : { expectedRevision: expected }),
    });
    void reply.header('etag', entityTag(applied.revision.revision));
    return appliedView(applied);
  }

  @Get('policies')
  @Operation({ id: 'listPolicies', summary: 'List the policies in force', permission: 'policies:read', response: policyPageSchema })
  async list(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: policyListQuery }) query: z.output<typeof policyListQuery>) {
    const list = `policies/${clusterId}`;
    const page = await this.#read.list(context, clusterId, { ...this.#paging.request(context, list, query), ...(query.kind === undefined ? {} : { kind: query.kind }) });
    return this.#paging.answer(context, list, query, page, policyView);
  }

  @Get('policies/:policyId')
  @Operation({ id: 'getPolicy', summary: 'Read one policy with its versions', permission: 'policies:read', response: policyDetailSchema })
  async get(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('policyId') policyId: string) {
    return policyDetailView(await this.#read.get(context, clusterId, policyId));
  }

  @Delete('policies/:policyId')
  @Operation({ id: 'removePolicy', summary: 'Take a policy out of the set: a new revision without it', permission: 'policies:write', response: revisionSchema })
  async remove(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('policyId') policyId: string) {
    return revisionView(await this.#remove.execute(context, { clusterId, policyId }));
  }

  @Get('policy-revisions')
  @Operation({ id: 'listPolicyRevisions', summary: 'List the revisions of the policy set, newest first', permission: 'policies:read', response: revisionPageSchema })
  async revisions(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const list = `policy-revisions/${clusterId}`;
    const page = await this.#read.revisions(context, clusterId, this.#paging.request<number>(context, list, query));
    return this.#paging.answer(context, list, query, page, revisionView);
  }

  @Post('policy-revisions/:revision/approvals')
  @Operation({ id: 'approvePolicies', summary: 'Approve a revision that others wrote, and all since the approved one before', permission: 'policies:approve', status: 201, creates: true, response: approvalSchema })
  async approve(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('revision', { schema: revisionParam }) revision: number) {
    return approvalView(await this.#approve.execute(context, { clusterId, revision }));
  }
}
