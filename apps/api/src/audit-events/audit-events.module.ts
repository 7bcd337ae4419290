import { Module } from '@nestjs/common';
import { ReadAudit } from '@palisade/control';
import { auditRepositories, createUnitOfWork } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { AuditEventsController } from './audit-events.controller.ts';

@Module({
  controllers: [AuditEventsController],
  providers: [provideUseCase(ReadAudit, (source) => new ReadAudit({ unitOfWork: createUnitOfWork(source, auditRepositories) }))],
})
export class AuditEventsModule {}
