import { Module, type DynamicModule } from '@nestjs/common';
import { FlowsModule, type FlowsModuleOptions } from './flows/flows.module.ts';

/** Nest's part of the gateway: what is not on the hot path of check-ins. */
@Module({})
export class GatewayModule {
  static register(options: FlowsModuleOptions): DynamicModule {
    return { module: GatewayModule, imports: [FlowsModule.register(options)] };
  }
}
