import type { AuditEvent, GrowingTree } from '@palisade/audit';
import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { Page } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { AuditRepositories, StoredCheckpoint } from './audit-event-repository.ts';
import type { AuditFilter } from './audit-filter.ts';
import { treeAt } from './grow-tree.ts';

const EXPORT_PAGE = 500;
const CHECKPOINTS_IN_EXPORT = 100;

/** What an export starts from. */
export interface AuditExport {
  readonly afterSeq: number;
  /** Last event of the export. */
  readonly toSeq: number;
  /** The tree over everything before the export. */
  readonly prefix: GrowingTree;
  /** Signed notes, by size. */
  readonly checkpoints: readonly string[];
}

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

  /** Newest first. */
  checkpoints(context: TenantContext, limit: number): Promise<readonly StoredCheckpoint[]> {
    return this.#unitOfWork.run(context, ({ auditCheckpoints }) => auditCheckpoints.list(limit));
  }

  /**
   * Begins an export of everything up to now; the export is an event itself, and not in it.
   *
   * @param afterSeq where a broken export goes on
   * @throws DomainError `request.invalid` when the log is not that long
   */
  beginExport(context: TenantContext, afterSeq: number): Promise<AuditExport> {
    return this.#unitOfWork.run(context, async (repositories) => {
      const { seq: toSeq } = await repositories.auditEvents.head();
      if (afterSeq > toSeq) throw new DomainError('request.invalid', `The log has ${toSeq} events, so an export cannot begin after ${afterSeq}.`, { pointer: '/afterSeq' });
      const prefix = await treeAt(afterSeq, repositories);
      const checkpoints = await repositories.auditCheckpoints.list(CHECKPOINTS_IN_EXPORT);
      await repositories.audit.append({
        action: 'audit.exported',
        target: { kind: 'audit', id: context.tenantId },
        summary: `Exported audit events from ${afterSeq + 1} to ${toSeq}.`,
        details: { fromSeq: afterSeq + 1, toSeq },
      });
      // Those over less than the prefix cannot be compared any more; those over more come with a later export.
      const usable = checkpoints.filter(({ tree }) => tree.size >= afterSeq && tree.size <= toSeq);
      return { afterSeq, toSeq, prefix, checkpoints: usable.map(({ note }) => note).toReversed() };
    });
  }

  /** The events of an export, oldest first, one page in memory at a time. */
  async *exported(context: TenantContext, { afterSeq, toSeq }: AuditExport, filter: AuditFilter = {}): AsyncGenerator<AuditEvent, void, undefined> {
    for (let after: number | undefined = afterSeq; after !== undefined; ) {
      const position: number = after;
      const page: Page<AuditEvent, number> = await this.#unitOfWork.run(context, ({ auditEvents }) => auditEvents.list(filter, { order: 'oldest', limit: EXPORT_PAGE, afterSeq: position }));
      for (const event of page.items) {
        if (event.seq > toSeq) return;
        yield event;
      }
      after = page.next;
    }
  }
}
