import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AuthenticateToken } from '@palisade/control';
import type { Logger } from '@palisade/nest-kit';
import { createUnitOfWork, postgresAuditLog, postgresTokenDirectory } from '@palisade/store';
import type { DataSource } from 'typeorm';
import { API_CONFIG, LOGGER } from '../application-parts.ts';
import type { ApiConfig } from '../config.ts';
import { DATA_SOURCE } from '../database/database.module.ts';
import { RateLimits } from '../limits/rate-limits.ts';
import { AccessGuard } from './access-guard.ts';
import { DenialRecorder } from './denial-recorder.ts';

@Global()
@Module({
  providers: [
    {
      provide: AuthenticateToken,
      inject: [DATA_SOURCE, LOGGER],
      useFactory: (source: DataSource, logger: Logger) =>
        new AuthenticateToken({
          directory: postgresTokenDirectory(source),
          now: () => new Date(),
          onRefused: (reason, credentials) => logger.info({ reason, tokenId: credentials?.id, tenantId: credentials?.tenantId }, 'authentication refused'),
        }),
    },
    {
      provide: DenialRecorder,
      inject: [DATA_SOURCE, LOGGER],
      useFactory: (source: DataSource, logger: Logger) => {
        const unitOfWork = createUnitOfWork(source, (session) => ({ audit: postgresAuditLog(session) }));
        return new DenialRecorder(
          (context, permission, count) =>
            unitOfWork.run(context, ({ audit }) =>
              audit.append({
                action: 'access.denied',
                outcome: 'denied',
                target: { kind: 'permission', id: permission },
                summary: `${context.actor.name} was denied ${permission}${count === 1 ? '' : `, ${count} more times`}.`,
                details: { count },
              }),
            ),
          (error) => logger.error({ err: error }, 'a denied attempt could not be written to the audit log'),
        );
      },
    },
    { provide: RateLimits, inject: [API_CONFIG], useFactory: (config: ApiConfig) => new RateLimits({ perSecond: config.PALISADE_API_RATE, now: () => performance.now() }) },
    { provide: APP_GUARD, useClass: AccessGuard },
  ],
  exports: [AuthenticateToken],
})
export class AccessModule {}
