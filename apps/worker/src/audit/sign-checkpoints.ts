import { WriteCheckpoint } from '@palisade/control';
import { auditRepositories, createUnitOfWork } from '@palisade/store';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { openAuditSigner } from './audit-signer.ts';

/** Signs the audit log of every tenant whose checkpoint is due. Run every minute. */
export function checkpointSigning(source: DataSource, keysDir: string, tenants: () => Promise<readonly string[]>): () => Promise<void> {
  const write = new WriteCheckpoint({ unitOfWork: createUnitOfWork(source, auditRepositories), signer: openAuditSigner(keysDir), now: () => new Date() });
  return async () => {
    for (const tenantId of await tenants()) await write.execute(systemContext(parseTenantId(tenantId), 'worker/audit'));
  };
}
