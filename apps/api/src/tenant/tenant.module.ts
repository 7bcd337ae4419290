import { Module } from '@nestjs/common';
import { ReadTenant } from '@palisade/control';
import { createUnitOfWork, postgresTenants } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { TenantController } from './tenant.controller.ts';

@Module({
  controllers: [TenantController],
  providers: [provideUseCase(ReadTenant, (source) => new ReadTenant({ unitOfWork: createUnitOfWork(source, (session) => ({ tenants: postgresTenants(session) })) }))],
})
export class TenantModule {}
