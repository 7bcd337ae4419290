import type { TenantRepository } from '@palisade/control';
import type { TenantSession } from '../session.ts';

export function postgresTenants(session: TenantSession): TenantRepository {
  return {
    async current() {
      const [row] = await session.query<{ tenant_id: string; name: string; created_at: Date }>('SELECT tenant_id, name, created_at FROM palisade.tenants WHERE tenant_id = $1', [session.context.tenantId]);
      return row && { id: row.tenant_id, name: row.name, createdAt: row.created_at };
    },
  };
}
