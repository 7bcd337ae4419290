import { Module } from '@nestjs/common';
import { AskVerdict } from '@palisade/control';
import { createUnitOfWork, policyRepositories } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { VerdictsController } from './verdicts.controller.ts';

@Module({
  controllers: [VerdictsController],
  providers: [provideUseCase(AskVerdict, (source) => new AskVerdict({ unitOfWork: createUnitOfWork(source, policyRepositories) }))],
})
export class VerdictsModule {}
