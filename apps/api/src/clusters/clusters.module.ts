import { Module } from '@nestjs/common';
import { CreateCluster, ReadClusters, UpdateCluster } from '@palisade/control';
import { clusterRepositories, createUnitOfWork } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { ClustersController } from './clusters.controller.ts';

@Module({
  controllers: [ClustersController],
  providers: [
    provideUseCase(CreateCluster, (source) => new CreateCluster({ unitOfWork: createUnitOfWork(source, clusterRepositories) })),
    provideUseCase(UpdateCluster, (source) => new UpdateCluster({ unitOfWork: createUnitOfWork(source, clusterRepositories) })),
    provideUseCase(ReadClusters, (source) => new ReadClusters({ unitOfWork: createUnitOfWork(source, clusterRepositories) })),
  ],
})
export class ClustersModule {}
