import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { DataSource } from 'typeorm';

/** Token of the pool. Only providers of use cases take it. */
export const DATA_SOURCE = Symbol('DataSource');

@Global()
@Module({})
export class DatabaseModule {
  static on(source: DataSource): DynamicModule {
    return { module: DatabaseModule, providers: [{ provide: DATA_SOURCE, useValue: source }], exports: [DATA_SOURCE] };
  }
}
