import { Module } from '@nestjs/common';
import { ApplyPolicies, ApprovePolicies, parsePolicyText, ReadPolicies, RemovePolicy } from '@palisade/control';
import { createUnitOfWork, policyRepositories } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { PoliciesController } from './policies.controller.ts';

@Module({
  controllers: [PoliciesController],
  providers: [
    provideUseCase(ApplyPolicies, (source) => new ApplyPolicies({ unitOfWork: createUnitOfWork(source, policyRepositories), parse: parsePolicyText })),
    provideUseCase(ApprovePolicies, (source) => new ApprovePolicies({ unitOfWork: createUnitOfWork(source, policyRepositories) })),
    provideUseCase(RemovePolicy, (source) => new RemovePolicy({ unitOfWork: createUnitOfWork(source, policyRepositories) })),
    provideUseCase(ReadPolicies, (source) => new ReadPolicies({ unitOfWork: createUnitOfWork(source, policyRepositories) })),
  ],
})
export class PoliciesModule {}
