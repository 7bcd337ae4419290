import type { AuditEvent } from '@palisade/audit';

export interface AuditFilter {
  readonly action?: string;
  readonly actorId?: string;
  readonly targetKind?: string;
  readonly targetId?: string;
  readonly outcome?: AuditEvent['outcome'];
  /** Inclusive. */
  readonly from?: Date;
  /** Exclusive. */
  readonly to?: Date;
}

/** The same question as the store's list answers, asked of one event. */
export function matchesAuditFilter(event: AuditEvent, filter: AuditFilter): boolean {
  const { action, actorId, targetKind, targetId, outcome, from, to } = filter;
  const time = Date.parse(event.time);
  return (
    (action === undefined || event.action === action) &&
    (actorId === undefined || event.actor.id === actorId) &&
    (targetKind === undefined || event.target.kind === targetKind) &&
    (targetId === undefined || event.target.id === targetId) &&
    (outcome === undefined || event.outcome === outcome) &&
    (from === undefined || time >= from.getTime()) &&
    (to === undefined || time < to.getTime())
  );
}
