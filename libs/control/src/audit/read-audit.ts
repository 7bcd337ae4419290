import type { AuditEvent } from '@palisade/audit';
import type { TenantContext } from '@palisade/tenancy';
import type { Page } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { AuditLog } from './audit-log.ts';

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

export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

export interface AuditEventRepository {
  list(filter: AuditFilter, page: { readonly order: 'newest' | 'oldest'; readonly limit: number; readonly afterSeq?: number }): Promise<Page<AuditEvent, number>>;
  head(): Promise<AuditHead>;
}

export interface AuditRepositories {
  readonly auditEvents: AuditEventRepository;
  readonly audit: AuditLog;
}

const EXPORT_PAGE = 500;

/** Reads a tenant's audit events. */
export class ReadAudit {
  readonly #unitOfWork: UnitOfWork<AuditRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<AuditRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  /** Newest first. */
  list(context: TenantContext, filter: AuditFilter, page: { readonly limit: number; readonly afterSeq?: number }): Promise<Page<AuditEvent, number>> {
    return this.#unitOfWork.run(context, ({ auditEvents }) => auditEvents.list(filter, { ...page, order: 'newest' }));
  }

  /**
   * All events up to now, oldest first, a page in memory at a time. The export itself is an event, and is not in it.
   * @param afterSeq where a broken export goes on
   */
  async *export(context: TenantContext, filter: AuditFilter, afterSeq = 0): AsyncGenerator<AuditEvent, void, undefined> {
    const head = await this.#unitOfWork.run(context, async ({ auditEvents, audit }) => {
      const before = await auditEvents.head();
      await audit.append({
        action: 'audit.exported',
        target: { kind: 'audit', id: context.tenantId },
        summary: `Exported audit events from ${afterSeq + 1} to ${before.seq}.`,
        details: { fromSeq: afterSeq + 1, toSeq: before.seq },
      });
      return before;
    });
    for (let after: number | undefined = afterSeq; after !== undefined; ) {
      const position: number = after;
      const page: Page<AuditEvent, number> = await this.#unitOfWork.run(context, ({ auditEvents }) => auditEvents.list(filter, { order: 'oldest', limit: EXPORT_PAGE, afterSeq: position }));
      for (const event of page.items) {
        if (event.seq > head.seq) return;
        yield event;
      }
      after = page.next;
    }
  }
}
