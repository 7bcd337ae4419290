import type { Provider } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { DATA_SOURCE } from './database.module.ts';

/** A provider for a use case that needs the database only: `provideUseCase(ReadClusters, (source) => new ReadClusters(…))`. */
export function provideUseCase<T>(useCase: abstract new (...parts: never[]) => T, create: (source: DataSource) => T): Provider<T> {
  return { provide: useCase, inject: [DATA_SOURCE], useFactory: create };
}
