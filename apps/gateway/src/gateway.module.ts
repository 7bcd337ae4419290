import { Module, type DynamicModule } from '@nestjs/common';
import type { Registry } from '@palisade/nest-kit';
import { FlowsModule } from './flows/flows.module.ts';

/** Nest's part of the gateway: what is not on the hot path of check-ins. */
@Module({})
export class GatewayModule {
  static register(options: { readonly ingestDatabaseUrl: string; readonly metrics: Registry }): DynamicModule {
    return { module: GatewayModule, imports: [FlowsModule.register({ ingestDatabaseUrl: options.ingestDatabaseUrl, metrics: options.metrics })] };
  }
}
