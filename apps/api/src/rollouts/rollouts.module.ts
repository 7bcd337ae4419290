import { Module } from '@nestjs/common';
import { CreateRollout, ReadRollouts, SteerRollout } from '@palisade/control';
import { createUnitOfWork, rolloutRepositories } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { FollowRolloutController } from './follow.controller.ts';
import { RolloutsController } from './rollouts.controller.ts';

@Module({
  controllers: [RolloutsController, FollowRolloutController],
  providers: [
    provideUseCase(CreateRollout, (source) => new CreateRollout({ unitOfWork: createUnitOfWork(source, rolloutRepositories) })),
    provideUseCase(SteerRollout, (source) => new SteerRollout({ unitOfWork: createUnitOfWork(source, rolloutRepositories) })),
    provideUseCase(ReadRollouts, (source) => new ReadRollouts({ unitOfWork: createUnitOfWork(source, rolloutRepositories) })),
  ],
})
export class RolloutsModule {}
