import { signCheckpoint, type NoteSigner } from '@palisade/audit';
import type { TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { AuditRepositories } from './audit-event-repository.ts';
import { treeAt } from './grow-tree.ts';

/** One is signed at least this often, so that a log that stopped or lost its tail is told from a quiet one. */
const LONGEST_SILENCE_MS = 60 * 60_000;
/** And at most this often while events come. */
const SHORTEST_PAUSE_MS = 60_000;

/** Signs how long a tenant's audit log is and what its root is. Called every minute or so; answers whether it signed. */
export class WriteCheckpoint {
  readonly #unitOfWork: UnitOfWork<AuditRepositories>;
  readonly #signer: NoteSigner;
  readonly #now: () => Date;

  constructor(ports: { readonly unitOfWork: UnitOfWork<AuditRepositories>; readonly signer: NoteSigner; readonly now: () => Date }) {
    this.#unitOfWork = ports.unitOfWork;
    this.#signer = ports.signer;
    this.#now = ports.now;
  }

  execute(context: TenantContext): Promise<boolean> {
    return this.#unitOfWork.run(context, async (repositories) => {
      const [{ seq }, last] = [await repositories.auditEvents.head(), await repositories.auditCheckpoints.newest()];
      const now = this.#now();
      const age = last === undefined ? Number.POSITIVE_INFINITY : now.getTime() - last.createdAt.getTime();
      const isDue = age >= LONGEST_SILENCE_MS || (seq > (last?.tree.size ?? 0) && age >= SHORTEST_PAUSE_MS);
      if (!isDue) return false;
      const tree = await treeAt(seq, repositories);
      const note = signCheckpoint({ tenantId: context.tenantId, size: tree.size, root: tree.root(), time: now.toISOString() }, this.#signer);
      await repositories.auditCheckpoints.insert({ tree, note });
      return true;
    });
  }
}
