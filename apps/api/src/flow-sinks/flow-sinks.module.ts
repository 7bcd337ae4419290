import { Module } from '@nestjs/common';
import { ManageFlowSinks, ReadFlows } from '@palisade/control';
import { createUnitOfWork, flowSinkRepositories } from '@palisade/store';
import type { DataSource } from 'typeorm';
import { DATA_SOURCE } from '../database/database.module.ts';
import { FlowsModule } from '../flows/flows.module.ts';
import { FlowSinksController } from './flow-sinks.controller.ts';

@Module({
  imports: [FlowsModule],
  controllers: [FlowSinksController],
  providers: [{ provide: ManageFlowSinks, inject: [DATA_SOURCE, ReadFlows], useFactory: (source: DataSource, flows: ReadFlows) => new ManageFlowSinks({ unitOfWork: createUnitOfWork(source, flowSinkRepositories), flows }) }],
})
export class FlowSinksModule {}
