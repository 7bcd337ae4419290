import { Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from '@palisade/nest-kit';
import type { DataSource } from 'typeorm';
import { AccessModule } from './access/access.module.ts';
import { ApiTokensModule } from './api-tokens/api-tokens.module.ts';
import { ApplicationPartsModule } from './application-parts.module.ts';
import { AuditEventsModule } from './audit-events/audit-events.module.ts';
import { ClustersModule } from './clusters/clusters.module.ts';
import type { ApiConfig } from './config.ts';
import { DatabaseModule } from './database/database.module.ts';
import { FlowPrivacyModule } from './flow-privacy/flow-privacy.module.ts';
import { FlowSinksModule } from './flow-sinks/flow-sinks.module.ts';
import { FlowsModule } from './flows/flows.module.ts';
import { HubbleModule } from './hubble/hubble.module.ts';
import { IdempotencyModule } from './idempotency/idempotency.module.ts';
import { PagingModule } from './paging/paging.module.ts';
import { PoliciesModule } from './policies/policies.module.ts';
import { BundlesModule } from './bundles/bundles.module.ts';
import { EnrollmentTokensModule } from './enrollment-tokens/enrollment-tokens.module.ts';
import { NodesModule } from './nodes/nodes.module.ts';
import { RolloutsModule } from './rollouts/rollouts.module.ts';
import { TenantModule } from './tenant/tenant.module.ts';
import { VerdictsModule } from './verdicts/verdicts.module.ts';

/** One module a feature, in a folder of its own. A new feature is listed here and nowhere else. */
const FEATURES = [TenantModule, ClustersModule, EnrollmentTokensModule, NodesModule, BundlesModule, RolloutsModule, PoliciesModule, VerdictsModule, AuditEventsModule, ApiTokensModule, FlowsModule, FlowPrivacyModule, FlowSinksModule, HubbleModule];

export interface ApplicationParts {
  readonly config: ApiConfig;
  readonly source: DataSource;
  readonly logger: Logger;
}

@Module({})
export class AppModule {
  static with(parts: ApplicationParts): DynamicModule {
    return {
      module: AppModule,
      imports: [ApplicationPartsModule.with(parts), DatabaseModule.on(parts.source), AccessModule, PagingModule, IdempotencyModule, ...FEATURES],
    };
  }
}
