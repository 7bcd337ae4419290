import { Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { AuthenticateToken, type OnRefused } from '@palisade/control';
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
      inject: [DATA_SOURCE, LOGGER, DenialRecorder],
      useFactory: (source: DataSource, logger: Logger, denials: DenialRecorder) =>
        new AuthenticateToken({ directory: postgresTokenDirectory(source), now: () => new Date(), onRefused: refusalReport(logger, denials) }),
    },
    {
      provide: DenialRecorder,
      inject: [DATA_SOURCE, LOGGER],
      useFactory: (source: DataSource, logger: Logger) => {
        const unitOfWork = createUnitOfWork(source, (session) => ({ audit: postgresAuditLog(session) }));
        return new DenialRecorder(
          (context, { summary, ...denial }, count) =>
            unitOfWork.run(context, ({ audit }) => audit.append({ ...denial, outcome: 'denied', summary: `${summary}${count === 1 ? '' : `, ${count} more times`}.`, details: { count } })),
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

/** Every refusal goes to the log; that of a known token also to its tenant's audit log. */
function refusalReport(logger: Logger, denials: DenialRecorder): OnRefused {
  return (reason, credentials, origin) => {
    logger.info({ reason, tokenId: credentials?.id, tenantId: credentials?.tenantId, reqId: origin.requestId }, 'authentication refused');
    if (credentials === undefined) return;
    const { tenantId, id, name, roles, scope } = credentials;
    const target = { kind: 'api-token', id, name };
    denials.record({ tenantId, actor: { kind: 'token', id, name, roles, scope }, ...origin }, { action: 'authentication.refused', target, summary: `API token ${name} was refused: ${reason}` });
  };
}
