import { Body, Controller, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ManageEnrollmentTokens } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { createdEnrollmentTokenSchema, enrollmentTokenPageSchema, enrollmentTokenSchema, enrollmentTokenView, newEnrollmentTokenSchema } from './enrollment-token.schema.ts';

@ApiTags('enrollment-tokens')
@Controller('v1/clusters/:clusterId/enrollment-tokens')
export class EnrollmentTokensController {
  readonly #tokens: ManageEnrollmentTokens;
  readonly #paging: Paging;

  constructor(tokens: ManageEnrollmentTokens, paging: Paging) {
    this.#tokens = tokens;
    this.#paging = paging;
  }

  @Post()
  @Operation({ id: 'createEnrollmentToken', summary: 'Create a token that nodes enroll with; it is shown once', permission: 'enrollment-tokens:write', status: 201, creates: true, response: createdEnrollmentTokenSchema })
  async create(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Body({ schema: newEnrollmentTokenSchema }) body: z.output<typeof newEnrollmentTokenSchema>) {
    const created = await this.#tokens.create(context, {
      clusterId,
      name: body.name,
      maxUses: body.maxUses,
      lifetimeSeconds: body.expiresInSeconds,
      ...(body.labels === undefined ? {} : { labels: body.labels }),
      ...(body.requiredAttestation === undefined ? {} : { requiredAttestation: body.requiredAttestation }),
    });
    return { ...enrollmentTokenView(created.token), token: created.text };
  }

  @Get()
  @Operation({ id: 'listEnrollmentTokens', summary: 'List enrollment tokens', permission: 'enrollment-tokens:read', response: enrollmentTokenPageSchema })
  async list(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const list = `enrollment-tokens/${clusterId}`;
    const page = await this.#tokens.list(context, clusterId, this.#paging.request(context, list, query));
    return this.#paging.answer(context, list, query, page, enrollmentTokenView);
  }

  @Delete(':tokenId')
  @Operation({ id: 'revokeEnrollmentToken', summary: 'Revoke a token; nodes that it enrolled stay', permission: 'enrollment-tokens:write', response: enrollmentTokenSchema })
  async revoke(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Param('tokenId') tokenId: string) {
    return enrollmentTokenView(await this.#tokens.revoke(context, clusterId, tokenId));
  }
}
