import type { FlowPrivacyRepository, FlowPrivacyRepositories } from '@palisade/control';
import { postgresAuditLog } from '../audit/audit-log.ts';
import type { TenantSession } from '../session.ts';

interface PrivacyRow {
  readonly keep_query_strings: boolean;
  readonly keep_process_arguments: boolean;
  readonly version: number;
}

function postgresFlowPrivacy(session: TenantSession): FlowPrivacyRepository {
  const { tenantId } = session.context;
  return {
    async find() {
      const [row] = await session.query<PrivacyRow>('SELECT keep_query_strings, keep_process_arguments, version FROM palisade.flow_privacy WHERE tenant_id = $1', [tenantId]);
      return row && { keepQueryStrings: row.keep_query_strings, keepProcessArguments: row.keep_process_arguments, version: row.version };
    },
    async save({ keepQueryStrings, keepProcessArguments }, versionBefore) {
      const [row] = await session.query<{ version: number }>(
        versionBefore === 0
          ? 'INSERT INTO palisade.flow_privacy (tenant_id, keep_query_strings, keep_process_arguments) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING version'
          : `UPDATE palisade.flow_privacy SET keep_query_strings = $2, keep_process_arguments = $3, version = version + 1, updated_at = now()
             WHERE tenant_id = $1 AND version = $4 RETURNING version`,
        [tenantId, keepQueryStrings, keepProcessArguments, ...(versionBefore === 0 ? [] : [versionBefore])],
      );
      return row?.version;
    },
  };
}

export function flowPrivacyRepositories(session: TenantSession): FlowPrivacyRepositories {
  return { flowPrivacy: postgresFlowPrivacy(session), audit: postgresAuditLog(session) };
}
