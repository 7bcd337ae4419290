export { AUDIT_EVENT_VERSION, auditEventBytes, auditEventHash, GENESIS_HASH, type AuditEvent } from './audit-event.ts';
export { canonicalJson, type Json } from './canonical-json.ts';
