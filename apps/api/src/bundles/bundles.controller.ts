import { Controller, Get, Param, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ReadBundles } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { pageQuery, Paging } from '../paging/page.ts';
import { bundlePageSchema, bundleView } from './bundle.schema.ts';

@ApiTags('bundles')
@Controller('v1/clusters/:clusterId/bundles')
export class BundlesController {
  readonly #bundles: ReadBundles;
  readonly #paging: Paging;

  constructor(bundles: ReadBundles, paging: Paging) {
    this.#bundles = bundles;
    this.#paging = paging;
  }

  @Get()
  @Operation({ id: 'listBundles', summary: 'List bundles, newest first, with the generations they were sealed under', permission: 'bundles:read', response: bundlePageSchema })
  async list(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Query({ schema: pageQuery }) query: z.output<typeof pageQuery>) {
    const list = `bundles/${clusterId}`;
    const page = await this.#bundles.list(context, clusterId, this.#paging.request(context, list, query));
    return this.#paging.answer(context, list, query, page, bundleView);
  }
}
