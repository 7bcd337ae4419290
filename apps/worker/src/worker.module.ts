import { Inject, Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from '@palisade/nest-kit';
import type { WorkerConfig } from './config.ts';
import { startWorker, type RunningWorker } from './worker.ts';

export const RUNNING_WORKER = Symbol('RunningWorker');

/** The worker as Nest starts and stops it; what it does is wired in `startWorker`. */
@Module({})
export class WorkerModule implements OnApplicationShutdown {
  readonly #worker: RunningWorker;

  constructor(@Inject(RUNNING_WORKER) worker: RunningWorker) {
    this.#worker = worker;
  }

  static with(config: WorkerConfig, logger: Logger): DynamicModule {
    return { module: WorkerModule, providers: [{ provide: RUNNING_WORKER, useFactory: () => startWorker(config, logger) }] };
  }

  onApplicationShutdown(): Promise<void> {
    return this.#worker.close();
  }
}
