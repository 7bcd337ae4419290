import { Module } from '@nestjs/common';
import { ManageNodes } from '@palisade/control';
import { createUnitOfWork, nodeRepositories } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { NodesController } from './nodes.controller.ts';

@Module({
  controllers: [NodesController],
  providers: [provideUseCase(ManageNodes, (source) => new ManageNodes({ unitOfWork: createUnitOfWork(source, nodeRepositories) }))],
})
export class NodesModule {}
