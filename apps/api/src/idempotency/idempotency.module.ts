import { Module } from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { PostgresIdempotencyKeys } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { IdempotencyInterceptor } from './idempotency.interceptor.ts';

@Module({
  providers: [provideUseCase(PostgresIdempotencyKeys, (source) => new PostgresIdempotencyKeys(source)), { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor }],
})
export class IdempotencyModule {}
