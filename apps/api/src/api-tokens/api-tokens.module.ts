import { Module } from '@nestjs/common';
import { CreateApiToken, ReadApiTokens, RevokeApiToken } from '@palisade/control';
import { apiTokenRepositories, createUnitOfWork } from '@palisade/store';
import { provideUseCase } from '../database/provide-use-case.ts';
import { ApiTokensController } from './api-tokens.controller.ts';

@Module({
  controllers: [ApiTokensController],
  providers: [
    provideUseCase(CreateApiToken, (source) => new CreateApiToken({ unitOfWork: createUnitOfWork(source, apiTokenRepositories), now: () => new Date() })),
    provideUseCase(RevokeApiToken, (source) => new RevokeApiToken({ unitOfWork: createUnitOfWork(source, apiTokenRepositories) })),
    provideUseCase(ReadApiTokens, (source) => new ReadApiTokens({ unitOfWork: createUnitOfWork(source, apiTokenRepositories) })),
  ],
})
export class ApiTokensModule {}
