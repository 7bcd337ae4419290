import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from '@palisade/nest-kit';
import { API_CONFIG, LOGGER } from './application-parts.ts';
import type { ApiConfig } from './config.ts';

@Global()
@Module({})
export class ApplicationPartsModule {
  static with({ config, logger }: { readonly config: ApiConfig; readonly logger: Logger }): DynamicModule {
    const providers = [
      { provide: API_CONFIG, useValue: config },
      { provide: LOGGER, useValue: logger },
    ];
    return { module: ApplicationPartsModule, providers, exports: [API_CONFIG, LOGGER] };
  }
}
