import { isDomainError } from '@palisade/errors';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import type { CertificateOutcome, EnrolledNode, EnrollmentRepositories, StoredCertificate } from './enrollment.ts';
import { sameSecret } from './enrollment-token.ts';

export interface RenewCertificateInput {
  readonly tenantId: string;
  readonly nodeId: string;
  readonly csr: Uint8Array;
  /** Serial of the certificate that the connection was made with, lower-case hex. */
  readonly presentedSerial: string;
  readonly replacesSerial: string;
  readonly sourceAddress: string;
}

/**
 * Replaces a node's certificate. A renewal names the serial it replaces; renewing a serial that was already replaced
 * means that two machines hold the same disk: the node is locked until a person looks (trust-and-fleet §1).
 */
export class RenewCertificate {
  readonly #ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories>; readonly authority: CertificateAuthority; readonly now: () => Date };

  constructor(ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories>; readonly authority: CertificateAuthority; readonly now: () => Date }) {
    this.#ports = ports;
  }

  async execute(input: RenewCertificateInput): Promise<CertificateOutcome> {
    let publicKey: Uint8Array;
    try {
      ({ publicKey } = await this.#ports.authority.readRequest(input.csr));
    } catch (error) {
      if (isDomainError(error)) return { status: 400, code: error.code, detail: error.message };
      throw error;
    }
    const context: TenantContext = { ...systemContext(parseTenantId(input.tenantId), 'worker/renewal'), sourceAddress: input.sourceAddress };
    return this.#ports.unitOfWork.run(context, (repositories) => this.#renew(repositories, context, publicKey, input));
  }

  async #renew(repositories: EnrollmentRepositories, context: TenantContext, publicKey: Uint8Array, input: RenewCertificateInput): Promise<CertificateOutcome> {
    const node = await repositories.nodeEnrollment.findForUpdate(input.nodeId);
    if (node === undefined) return { status: 401, code: 'auth.unauthenticated', detail: 'This node is not enrolled any more.' };
    if (node.state !== 'active') return refusedNode(node);
    if (await repositories.nodeEnrollment.isTenantSuspended()) return { status: 403, code: 'auth.forbidden', detail: 'The tenant of this node is suspended. What its kernel enforces stays in force.' };
    const old = await repositories.nodeCertificates.find(input.replacesSerial);
    if (old === undefined || old.nodeId !== node.id || input.presentedSerial !== input.replacesSerial) {
      return { status: 400, code: 'request.invalid', detail: 'A renewal names the serial of the certificate that the connection uses.' };
    }
    if (old.replacedBy !== null) return this.#replaced(repositories, context, node, old, publicKey);
    const identity = { tenantId: context.tenantId, clusterId: node.clusterId, nodeId: node.id };
    const certificate = await this.#ports.authority.issue(identity, publicKey, this.#ports.now());
    await repositories.nodeCertificates.insertAll([{ nodeId: node.id, certificate }], 'renew');
    await repositories.nodeCertificates.markReplaced(old.serial, certificate.serial);
    await repositories.nodeEnrollment.bindKey(node.id, publicKey);
    return { status: 200, tenantId: context.tenantId, clusterId: node.clusterId, nodeId: node.id, nodeName: node.name, certificateChain: certificate.chainPem };
  }

  /** A lost answer may be asked for again by the key that got it, until its certificate has been seen in use. */
  async #replaced(repositories: EnrollmentRepositories, context: TenantContext, node: EnrolledNode, old: StoredCertificate, publicKey: Uint8Array): Promise<CertificateOutcome> {
    const next = old.replacedBy === null ? undefined : await repositories.nodeCertificates.find(old.replacedBy);
    const isRetry = next !== undefined && sameSecret(next.publicKey, publicKey) && next.replacedBy === null && !(await repositories.nodeCertificates.wasPresented(node.id, next.serial));
    if (isRetry) {
      return { status: 200, tenantId: context.tenantId, clusterId: node.clusterId, nodeId: node.id, nodeName: node.name, certificateChain: next.chainPem };
    }
    const reason = `Serial ${old.serial} was renewed a second time: two machines hold the state of this node.`;
    await repositories.nodeEnrollment.lock(node.id, reason);
    await repositories.wakeUp.notify('node-state', { cluster: node.clusterId });
    await repositories.audit.append({
      action: 'node.locked',
      outcome: 'denied',
      target: { kind: 'node', id: node.id, name: node.name },
      summary: `Locked node ${node.name}: its disk seems to be cloned.`,
      details: { serial: old.serial, replacedBy: old.replacedBy ?? '' },
    });
    return refusedNode({ ...node, state: 'locked' });
  }
}

function refusedNode(node: EnrolledNode): CertificateOutcome {
  return { status: 403, code: 'auth.forbidden', detail: `Node ${node.name} is ${node.state}; ask an operator. What its kernel enforces stays in force.` };
}
