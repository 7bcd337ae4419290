import { DomainError } from '@palisade/errors';
import type { FlowPlan } from '@palisade/control';
import { inTenantTransaction, postgresAuditLog } from '@palisade/store';
import { systemContext, type TenantId } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';

function told({ flowsPerSecond, bytesPerDay, flowDays }: FlowPlan): string {
  const or = (value: number | undefined, unit: string): string => (value === undefined ? `the installation's ${unit}` : `${value} ${unit}`);
  return `${or(flowsPerSecond, 'flows a second')}, ${or(bytesPerDay, 'bytes a day')}, flows shown for ${or(flowDays, 'days')}`;
}

/**
 * Sets what a tenant may send and for how long its flows are shown, and puts that in the tenant's trail. Gateways follow
 * within seconds of the tenant's next batch.
 *
 * @param source as the owner of the schema: tenants do not set their own plans
 * @returns what was done, for people
 * @throws DomainError `resource.not-found`, or `request.invalid` for a figure out of bounds
 */
export async function setFlowPlan(source: DataSource, tenantId: TenantId, plan: FlowPlan): Promise<string> {
  const { flowsPerSecond = null, bytesPerDay = null, flowDays = null } = plan;
  bounded('flows a second', flowsPerSecond, 2 ** 31 - 1);
  bounded('bytes a day', bytesPerDay, Number.MAX_SAFE_INTEGER);
  bounded('days', flowDays, 400);
  await inTenantTransaction(source, systemContext(tenantId, 'operator'), async (session) => {
    const [tenant] = await session.query('SELECT tenant_id FROM palisade.tenants WHERE tenant_id = $1', [tenantId]);
    if (tenant === undefined) throw new DomainError('resource.not-found', `There is no tenant ${tenantId}.`);
    await session.execute(
      `INSERT INTO palisade.flow_plan (tenant_id, flows_per_second, bytes_per_day, flow_days) VALUES ($1, $2, $3, $4)
        ON CONFLICT (tenant_id) DO UPDATE SET flows_per_second = $2, bytes_per_day = $3, flow_days = $4, updated_at = now()`,
      [tenantId, flowsPerSecond, bytesPerDay, flowDays],
    );
    await postgresAuditLog(session).append({
      action: 'flow-plan.set', target: { kind: 'tenant', id: tenantId }, summary: `The plan for flows is now ${told(plan)}.`, details: { ...plan },
    });
  });
  return `Tenant ${tenantId}: ${told(plan)}.`;
}

function bounded(unit: string, value: number | null, most: number): void {
  if (value === null || (Number.isSafeInteger(value) && value >= 1 && value <= most)) return;
  throw new DomainError('request.invalid', `A plan has whole ${unit} between 1 and ${most}, or none to leave them as the installation has them.`);
}
