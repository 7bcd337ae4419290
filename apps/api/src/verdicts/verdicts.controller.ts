import { Body, Controller, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { AskVerdict } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { z } from 'zod';
import { Operation } from '../access/operation.ts';
import { InTenant } from '../access/request-context.ts';
import { toFlowQuery, verdictQuestionSchema, verdictSchema, verdictView } from './verdict.schema.ts';

@ApiTags('verdicts')
@Controller('v1/clusters/:clusterId/verdicts')
export class VerdictsController {
  readonly #ask: AskVerdict;

  constructor(ask: AskVerdict) {
    this.#ask = ask;
  }

  @Post()
  @Operation({ id: 'askVerdict', summary: 'Ask what policy decides on a flow, and why', permission: 'verdicts:read', response: verdictSchema })
  async ask(@InTenant() context: TenantContext, @Param('clusterId') clusterId: string, @Body({ schema: verdictQuestionSchema }) body: z.output<typeof verdictQuestionSchema>) {
    const { policyRevision } = body;
    return verdictView(await this.#ask.execute(context, { clusterId, flow: toFlowQuery(body), ...(policyRevision === undefined ? {} : { policyRevision }) }));
  }
}
