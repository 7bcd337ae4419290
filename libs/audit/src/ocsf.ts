import type { AuditEvent } from './audit-event.ts';
import type { Json } from './canonical-json.ts';

/** Version of the OCSF schema that the encoder follows; raised on purpose only. */
export const OCSF_VERSION = '1.3.0';

/** activity_id of class API Activity: 1 create, 2 read, 3 update, 4 delete, 99 other. */
const ACTIVITIES: Readonly<Record<string, number>> = { created: 1, applied: 3, updated: 3, exported: 2, removed: 4, revoked: 4 };
const STATUS = { success: 1, failure: 2, denied: 2 } as const;

/** The event as OCSF API Activity (class 6003, category 6 Application Activity). */
export function toOcsf(event: AuditEvent): { readonly [key: string]: Json } {
  const activity = ACTIVITIES[event.action.split('.').at(-1) ?? ''] ?? 99;
  return {
    class_uid: 6003,
    class_name: 'API Activity',
    category_uid: 6,
    category_name: 'Application Activity',
    activity_id: activity,
    // OCSF: type_uid = class_uid * 100 + activity_id.
    type_uid: 600_300 + activity,
    time: Date.parse(event.time),
    message: event.summary,
    severity_id: event.outcome === 'success' ? 1 : 3,
    status_id: STATUS[event.outcome],
    status_detail: event.outcome,
    metadata: {
      version: OCSF_VERSION,
      uid: event.id,
      sequence: event.seq,
      tenant_uid: event.tenantId,
      product: { name: 'Palisade', vendor_name: 'Palisade' },
      ...(event.requestId === undefined ? {} : { correlation_uid: event.requestId }),
    },
    actor: { user: { uid: event.actor.id, name: event.actor.name, type: event.actor.kind } },
    api: { operation: event.action, ...(event.requestId === undefined ? {} : { request: { uid: event.requestId } }) },
    resources: [{ uid: event.target.id, type: event.target.kind, ...(event.target.name === undefined ? {} : { name: event.target.name }) }],
    src_endpoint: event.sourceAddress === undefined ? { name: 'internal' } : { ip: event.sourceAddress },
    ...(event.details === undefined ? {} : { unmapped: event.details }),
  };
}
