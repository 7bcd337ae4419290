import { createPublicKey, verify } from 'node:crypto';
import { isDomainError } from '@palisade/errors';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import type { CertificateOutcome, EnrollmentRepositories, OwnerLookup } from './enrollment.ts';

const PREFIX = Buffer.from('palisade-recover-v1\n');
const REFUSED: CertificateOutcome = { status: 401, code: 'auth.unauthenticated', detail: 'The recovery was refused. Ask for a new challenge, or enroll this machine again.' };

export interface RecoverNodeInput {
  readonly nodeId: string;
  readonly nonce: Uint8Array;
  readonly csr: Uint8Array;
  /** Over `palisade-recover-v1\n` + nonce, with the bound key. */
  readonly signature: Uint8Array;
  readonly sourceAddress: string;
}

/** Gives a node whose certificate has expired a new one, for a signature over a nonce with the key it is bound to. */
export class RecoverNode {
  readonly #ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories>; readonly owners: OwnerLookup; readonly authority: CertificateAuthority; readonly now: () => Date };

  constructor(ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories>; readonly owners: OwnerLookup; readonly authority: CertificateAuthority; readonly now: () => Date }) {
    this.#ports = ports;
  }

  async execute(input: RecoverNodeInput): Promise<CertificateOutcome> {
    const tenantId = await this.#ports.owners.ofNode(input.nodeId);
    if (tenantId === undefined) return REFUSED;
    let publicKey: Uint8Array;
    try {
      ({ publicKey } = await this.#ports.authority.readRequest(input.csr));
    } catch (error) {
      if (isDomainError(error)) return { status: 400, code: error.code, detail: error.message };
      throw error;
    }
    const context: TenantContext = { ...systemContext(parseTenantId(tenantId), 'worker/recovery'), sourceAddress: input.sourceAddress };
    return this.#ports.unitOfWork.run(context, async (repositories) => {
      const node = await repositories.nodeEnrollment.findForUpdate(input.nodeId);
      if (node === undefined || node.state !== 'active') return refuse(repositories, input.nodeId, node === undefined ? 'there is no such node' : `the node is ${node.state}`);
      if (await repositories.nodeEnrollment.isTenantSuspended()) return refuse(repositories, node.id, 'the tenant is suspended');
      if (!(await repositories.recovery.consume(input.nonce, node.id))) return refuse(repositories, node.id, 'the challenge is unknown, used or expired');
      if (!signedByNode(node.publicKey, input)) return refuse(repositories, node.id, 'the signature is not by the bound key');
      const old = await repositories.nodeCertificates.latest(node.id);
      const certificate = await this.#ports.authority.issue({ tenantId, clusterId: node.clusterId, nodeId: node.id }, publicKey, this.#ports.now());
      await repositories.nodeCertificates.insertAll([{ nodeId: node.id, certificate }], 'recover');
      if (old !== undefined) await repositories.nodeCertificates.markReplaced(old.serial, certificate.serial);
      await repositories.nodeEnrollment.bindKey(node.id, publicKey);
      await repositories.audit.append({
        action: 'node.recovered',
        target: { kind: 'node', id: node.id, name: node.name },
        summary: `Node ${node.name} recovered by challenge.`,
        details: { serial: certificate.serial },
      });
      return { status: 200, tenantId, clusterId: node.clusterId, nodeId: node.id, nodeName: node.name, certificateChain: certificate.chainPem };
    });
  }
}

function signedByNode(publicKey: Uint8Array, input: RecoverNodeInput): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
    const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
    return verify(algorithm, Buffer.concat([PREFIX, input.nonce]), key, input.signature);
  } catch {
    return false; // OpenSSL throws on malformed DER signatures.
  }
}

async function refuse(repositories: EnrollmentRepositories, nodeId: string, reason: string): Promise<CertificateOutcome> {
  await repositories.audit.append({
    action: 'node.recovery-refused',
    outcome: 'denied',
    target: { kind: 'node', id: nodeId },
    summary: `A recovery was refused: ${reason}.`,
    details: { reason },
  });
  return REFUSED;
}
