import { Module } from '@nestjs/common';
import { ManageEnrollmentTokens } from '@palisade/control';
import { createUnitOfWork, enrollmentRepositories } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { EnrollmentTokensController } from './enrollment-tokens.controller.ts';

@Module({
  controllers: [EnrollmentTokensController],
  providers: [provideUseCase(ManageEnrollmentTokens, (source) => new ManageEnrollmentTokens({ unitOfWork: createUnitOfWork(source, enrollmentRepositories) }))],
})
export class EnrollmentTokensModule {}
