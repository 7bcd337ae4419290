import { Module } from '@nestjs/common';
import { ManageFlowPrivacy } from '@palisade/control';
import { createUnitOfWork, flowPrivacyRepositories } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { FlowPrivacyController } from './flow-privacy.controller.ts';

@Module({
  controllers: [FlowPrivacyController],
  providers: [provideUseCase(ManageFlowPrivacy, (source) => new ManageFlowPrivacy({ unitOfWork: createUnitOfWork(source, flowPrivacyRepositories) }))],
})
export class FlowPrivacyModule {}
