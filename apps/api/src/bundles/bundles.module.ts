import { Module } from '@nestjs/common';
import { ReadBundles } from '@palisade/control';
import { bundleRepositories, createUnitOfWork } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { BundlesController } from './bundles.controller.ts';

@Module({
  controllers: [BundlesController],
  providers: [provideUseCase(ReadBundles, (source) => new ReadBundles({ unitOfWork: createUnitOfWork(source, bundleRepositories) }))],
})
export class BundlesModule {}
