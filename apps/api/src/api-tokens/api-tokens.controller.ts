import { Body, Controller, Delete, Get, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CreateApiToken, ReadApiTokens, RevokeApiToken } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { apiTokenPageSchema, apiTokenSchema, apiTokenView, createdApiTokenSchema, newApiTokenSchema } from './api-token.schema.ts';

@ApiTags('api-tokens')
@Controller('v1/api-tokens')
export class ApiTokensController {
  readonly #create: CreateApiToken;
  readonly #revoke: RevokeApiToken;
  readonly #read: ReadApiTokens;
  readonly #paging: Paging;

  constructor(create: CreateApiToken, revoke: RevokeApiToken, read: ReadApiTokens, paging: Paging) {
    this.#create = create;
    this.#revoke = revoke;
    this.#read = read;
    this.#paging = paging;
  }

  @Post()
  @Operation({ id: 'createApiToken', summary: 'Create an API token; its text is shown once', permission: 'api-tokens:write', status: 201, creates: true, response: createdApiTokenSchema })
  async create(@InTenant() context: TenantContext, @Body({ schema: newApiTokenSchema }) body: z.output<typeof newApiTokenSchema>) {
    const { token, text } = await this.#create.execute(context, {
      name: body.name,
      roles: [...new Set(body.roles)],
      scope: { clusters: body.clusters?.map((id) => id.toLowerCase()) ?? 'all', namespaces: body.namespaces ?? 'all' },
      ...(body.expiresAt === undefined ? {} : { expiresAt: new Date(body.expiresAt) }),
    });
    return { ...apiTokenView(token), token: text };
  }

  @Get()
  @Operation({ id: 'listApiTokens', summary: 'List API tokens', permission: 'api-tokens:read', response: apiTokenPageSchema })
  async list(@InTenant() context: TenantContext, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const page = await this.#read.list(context, this.#paging.request(context, 'api-tokens', query));
    return this.#paging.answer(context, 'api-tokens', query, page, apiTokenView);
  }

  @Get(':tokenId')
  @Operation({ id: 'getApiToken', summary: 'Read one API token', permission: 'api-tokens:read', response: apiTokenSchema })
  async get(@InTenant() context: TenantContext, @Param('tokenId') tokenId: string) {
    return apiTokenView(await this.#read.get(context, tokenId));
  }

  @Delete(':tokenId')
  @Operation({ id: 'revokeApiToken', summary: 'Revoke an API token', permission: 'api-tokens:write', status: 204 })
  async revoke(@InTenant() context: TenantContext, @Param('tokenId') tokenId: string): Promise<void> {
    await this.#revoke.execute(context, tokenId);
  }
}
