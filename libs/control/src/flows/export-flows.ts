import type { FlowCoverage } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import type { AuditLog } from '../audit/audit-log.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { FlowPosition, FlowQuery, StoredFlow } from './flow-store.ts';
import type { ReadFlows } from './read-flows.ts';

const PAGE = 1000;

export interface FlowExport {
  /** What the flows below may lack. */
  readonly coverage: FlowCoverage;
  /** Pages, oldest first; the next one is read when it is asked for, so memory stays constant. */
  readonly pages: AsyncGenerator<FlowExportPage>;
}

export interface FlowExportPage {
  readonly flows: readonly StoredFlow[];
  /** An export that broke off goes on after this page from here; absent on the last one. */
  readonly next?: FlowPosition;
}

export type FlowExportQuery = Pick<FlowQuery, 'clusterId' | 'selection' | 'sinceUs' | 'untilUs' | 'after'>;

/** Hands flows out in bulk. The audit log knows of it before the first flow leaves. */
export class ExportFlows {
  readonly #flows: ReadFlows;
  readonly #unitOfWork: UnitOfWork<{ readonly audit: AuditLog }>;

  constructor(ports: { readonly flows: ReadFlows; readonly unitOfWork: UnitOfWork<{ readonly audit: AuditLog }> }) {
    this.#flows = ports.flows;
    this.#unitOfWork = ports.unitOfWork;
  }

  /** @throws DomainError as `ReadFlows.list` does; nothing is audited then */
  async execute(context: TenantContext, query: FlowExportQuery, format: string): Promise<FlowExport> {
    const first = await this.#flows.list(context, { ...query, order: 'oldest', limit: PAGE });
    const seconds = Math.round((query.untilUs - query.sinceUs) / 1_000_000);
    await this.#unitOfWork.run(context, ({ audit }) =>
      audit.append({
        action: 'flows.exported',
        target: { kind: 'cluster', id: query.clusterId ?? 'all' },
        summary: `Exported the flows of ${seconds} s as ${format}${query.after === undefined ? '' : ', going on with an earlier export'}.`,
        details: { sinceUs: query.sinceUs, untilUs: query.untilUs, format, filters: query.selection.allow.length + query.selection.deny.length },
      }),
    );
    return { coverage: first.coverage, pages: this.#pages(context, query, first) };
  }

  async *#pages(context: TenantContext, query: FlowExportQuery, first: FlowExportPage): AsyncGenerator<FlowExportPage> {
    let page = first;
    yield page;
    while (page.next !== undefined) {
      page = await this.#flows.list(context, { ...query, order: 'oldest', limit: PAGE, after: page.next });
      yield page;
    }
  }
}
