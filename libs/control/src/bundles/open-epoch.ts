import { readEpochRecovery, type RootFile } from '@palisade/bundle';
import { DomainError } from '@palisade/errors';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import type { AuditLog } from '../audit/audit-log.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { WakeUp } from '../wake-up.ts';

export interface EpochRepository {
  /**
   * Stores the command and begins the epoch: generations start again at (epoch, 1), and the next identity message is a
   * snapshot of the epoch. False: this epoch, or a newer one, is open already, or there is no such cluster.
   */
  open(clusterId: string, epoch: number, envelope: Uint8Array): Promise<boolean>;
}

export interface EpochRepositories {
  readonly epochs: EpochRepository;
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}

/**
 * Takes in an epoch recovery command that the root authority signed after a database restore (trust-and-fleet §2):
 * from then on the cluster's generations and identity messages are of the new epoch, and nodes are handed the command.
 */
export class OpenEpoch {
  readonly #unitOfWork: UnitOfWork<EpochRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<EpochRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  /**
   * @returns whether an epoch was opened; taking the same command in twice is taking it in once
   * @throws DomainError `request.invalid` when the root authority has not signed it
   */
  async execute(root: RootFile, envelope: Uint8Array): Promise<boolean> {
    const read = readEpochRecovery(root, envelope);
    if (!read.ok) throw new DomainError('request.invalid', `The epoch recovery command is refused: ${read.message}.`);
    const { tenantId, clusterId, epoch } = read.recovery;
    const context = systemContext(parseTenantId(tenantId), 'worker/epoch');
    return this.#unitOfWork.run(context, async ({ epochs, audit, wakeUp }) => {
      if (!(await epochs.open(clusterId, Number(epoch), envelope))) return false;
      await audit.append({
        action: 'cluster.epoch-opened',
        target: { kind: 'cluster', id: clusterId },
        summary: `The root authority opened epoch ${epoch} of the cluster: its generations and identity revisions start again.`,
        details: { epoch: Number(epoch) },
      });
      await wakeUp.notify('desired', { cluster: clusterId });
      await wakeUp.notify('endpoint-report', { cluster: clusterId });
      return true;
    });
  }
}
