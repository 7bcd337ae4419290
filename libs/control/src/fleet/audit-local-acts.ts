import type { TenantContext } from '@palisade/tenancy';
import type { AuditLog } from '../audit/audit-log.ts';
import type { UnitOfWork } from '../unit-of-work.ts';

/** What root did on a node by itself: `disable`, `enable`, `uninstall`. */
export interface LocalAct {
  readonly kind: string;
  /** Unix ms, by the node's clock. */
  readonly atMs: number;
  readonly detail: string;
}

export interface LocalActRepository {
  /** Nodes of the cluster with acts newer than what was audited of them; locked until the transaction ends. */
  unaudited(clusterId: string): Promise<readonly { readonly nodeId: string; readonly nodeName: string; readonly auditedUntilMs: number; readonly acts: readonly LocalAct[] }[]>;
  markAudited(nodeId: string, untilMs: number): Promise<void>;
}

export interface LocalActRepositories {
  readonly localActs: LocalActRepository;
  readonly audit: AuditLog;
}

/** Break-glass works offline and is audited when the node comes back, each act once (trust-and-fleet §4). */
export class AuditLocalActs {
  readonly #unitOfWork: UnitOfWork<LocalActRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<LocalActRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, clusterId: string): Promise<void> {
    return this.#unitOfWork.run(context, async ({ localActs, audit }) => {
      for (const { nodeId, nodeName, auditedUntilMs, acts } of await localActs.unaudited(clusterId)) {
        const fresh = acts.filter((act) => act.atMs > auditedUntilMs).sort((a, b) => a.atMs - b.atMs);
        await localActs.markAudited(nodeId, Math.max(auditedUntilMs, ...fresh.map((act) => act.atMs)));
        for (const act of fresh) {
          await audit.append({
            action: 'node.local-act',
            target: { kind: 'node', id: nodeId, name: nodeName },
            summary: `Root on node ${nodeName} did "${act.kind}" at ${new Date(act.atMs).toISOString()}: ${act.detail}`,
            details: { kind: act.kind, atMs: act.atMs },
          });
        }
      }
    });
  }
}
