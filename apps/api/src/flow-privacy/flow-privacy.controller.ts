import { Body, Controller, Get, Headers, Put, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ManageFlowPrivacy, type FlowPrivacySetting } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { entityTag, expectedVersion } from '../entity-tag.ts';

const fields = {
  keepQueryStrings: z.boolean().describe('Store the query strings of HTTP paths; false cuts them off before anything is stored'),
  keepProcessArguments: z.boolean().describe('Store the arguments of processes; false leaves them out'),
};
const changeSchema = z.strictObject(fields).meta({ id: 'FlowPrivacyChange' });
const settingSchema = z.object({ ...fields, version: z.int() }).meta({ id: 'FlowPrivacy' });

/** What of the traffic is stored; by default neither. Headers and bodies never are. */
@ApiTags('flows')
@Controller('v1/flow-privacy')
export class FlowPrivacyController {
  readonly #privacy: ManageFlowPrivacy;

  constructor(privacy: ManageFlowPrivacy) {
    this.#privacy = privacy;
  }

  @Get()
  @Operation({ id: 'getFlowPrivacy', summary: 'Read what of the traffic is stored', permission: 'flows:read', response: settingSchema })
  async get(@InTenant() context: TenantContext, @Res({ passthrough: true }) reply: FastifyReply) {
    return tagged(reply, await this.#privacy.read(context));
  }

  @Put()
  @Operation({ id: 'updateFlowPrivacy', summary: 'Change what of the traffic is stored, from now on; audited', permission: 'flow-privacy:write', conditional: true, response: settingSchema })
  async put(@InTenant() context: TenantContext, @Headers('if-match') ifMatch: string | undefined, @Body({ schema: changeSchema }) body: z.output<typeof changeSchema>, @Res({ passthrough: true }) reply: FastifyReply) {
    return tagged(reply, await this.#privacy.change(context, body, expectedVersion(ifMatch)));
  }
}

function tagged(reply: FastifyReply, setting: FlowPrivacySetting): FlowPrivacySetting {
  void reply.header('etag', entityTag(setting.version));
  return setting;
}
