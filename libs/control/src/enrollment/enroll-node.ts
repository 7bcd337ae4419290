import { DomainError, isDomainError } from '@palisade/errors';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { AttestationEvidence, AttestedIdentity, Attestor } from './attestor.ts';
import type { CertificateAuthority } from './certificate-authority.ts';
import type { CertificateOutcome, EnrolledNode, EnrollmentRepositories, EnrollmentToken, NodeDescription, OwnerLookup } from './enrollment.ts';
import { sameSecret } from './enrollment-token.ts';

export interface EnrollNodeInput {
  readonly tokenPublicId: string;
  readonly secretHash: Uint8Array;
  readonly enrollmentUuid: string;
  /** PKCS#10, DER. */
  readonly csr: Uint8Array;
  readonly description: NodeDescription;
  readonly evidence: readonly AttestationEvidence[];
  readonly sourceAddress: string;
}

interface ReadRequest {
  readonly input: EnrollNodeInput;
  readonly publicKey: Uint8Array;
  /** By kind of evidence: whom it shows, or why it was not believed. */
  readonly attested: ReadonlyMap<string, AttestedIdentity | string>;
}

/** One answer for every reason, so that nobody learns which tokens exist. The real reason is in the audit log. */
const REFUSED: CertificateOutcome = { status: 401, code: 'auth.unauthenticated', detail: 'The enrollment token is not valid. Create a new one and try again.' };

/**
 * Claims a token and issues the node's first certificate in one transaction (trust-and-fleet §1). The same enrollment
 * uuid with the same key gets the same node and certificate and burns no further use; with another key it is a conflict.
 */
export class EnrollNode {
  readonly #ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories>; readonly owners: OwnerLookup; readonly authority: CertificateAuthority; readonly attestor: Attestor; readonly now: () => Date };

  constructor(ports: { readonly unitOfWork: UnitOfWork<EnrollmentRepositories>; readonly owners: OwnerLookup; readonly authority: CertificateAuthority; readonly attestor: Attestor; readonly now: () => Date }) {
    this.#ports = ports;
  }

  async execute(input: EnrollNodeInput): Promise<CertificateOutcome> {
    const [outcome] = await this.executeAll([input]);
    return outcome!;
  }

  /**
   * Answers many at once, those of one token in one transaction, for a rack that boots. A request that spoils its
   * transaction is tried again alone, so that it spoils no other.
   */
  async executeAll(inputs: readonly EnrollNodeInput[]): Promise<readonly CertificateOutcome[]> {
    const outcomes: CertificateOutcome[] = inputs.map(() => REFUSED);
    const byToken = Map.groupBy(inputs.keys(), (index) => inputs[index]!.tokenPublicId);
    for (const [publicId, indexes] of byToken) {
      const owner = await this.#ports.owners.ofEnrollmentToken(publicId);
      if (owner === undefined) continue;
      const ready = await Promise.all(indexes.map(async (index) => ({ index, input: inputs[index]!, request: await this.#read(inputs[index]!.csr), attested: await this.#attest(inputs[index]!) })));
      for (const { index, request } of ready) if ('status' in request) outcomes[index] = request;
      const readable = ready.flatMap(({ index, input, request, attested }) => ('status' in request ? [] : [{ index, input, attested, publicKey: request.publicKey }]));
      for (const [position, outcome] of (await this.#claimAll(owner, readable)).entries()) outcomes[readable[position]!.index] = outcome;
    }
    return outcomes;
  }

  async #read(csr: Uint8Array): Promise<{ readonly publicKey: Uint8Array } | CertificateOutcome> {
    try {
      return await this.#ports.authority.readRequest(csr);
    } catch (error) {
      if (isDomainError(error)) return { status: 400, code: error.code, detail: error.message };
      throw error;
    }
  }

  async #attest({ evidence, enrollmentUuid }: EnrollNodeInput): Promise<ReadonlyMap<string, AttestedIdentity | string>> {
    const attested = new Map<string, AttestedIdentity | string>();
    for (const one of evidence) {
      const verdict = await this.#ports.attestor.verify(one, enrollmentUuid);
      attested.set(one.type, verdict.ok ? verdict.machine : verdict.message);
    }
    return attested;
  }

  async #claimAll(owner: { readonly tenantId: string; readonly tokenId: string }, requests: readonly ReadRequest[]): Promise<readonly CertificateOutcome[]> {
    const [first] = requests;
    if (first === undefined) return [];
    const context: TenantContext = { ...systemContext(parseTenantId(owner.tenantId), 'worker/enrollment'), sourceAddress: first.input.sourceAddress };
    try {
      return await this.#ports.unitOfWork.run(context, (repositories) => this.#claim(repositories, context, owner.tokenId, requests));
    } catch (error) {
      if (requests.length === 1) throw error;
      const outcomes: CertificateOutcome[] = [];
      for (const request of requests) outcomes.push(...(await this.#claimAll(owner, [request])));
      return outcomes;
    }
  }

  async #claim(repositories: EnrollmentRepositories, context: TenantContext, tokenId: string, requests: readonly ReadRequest[]): Promise<readonly CertificateOutcome[]> {
    const token = await repositories.enrollmentTokens.find(tokenId);
    const suspended = await repositories.nodeEnrollment.isTenantSuspended();
    const known = new Map((await repositories.nodeEnrollment.findByEnrollments(requests.map(({ input }) => input.enrollmentUuid))).map((node) => [node.enrollmentUuid, node]));
    const outcomes = new Map<ReadRequest, CertificateOutcome>();
    const fresh: ReadRequest[] = [];
    for (const request of requests) {
      const { input, publicKey } = request;
      const node = known.get(input.enrollmentUuid);
      if (token === undefined || !sameSecret(token.secretHash, input.secretHash)) outcomes.set(request, await refuse(repositories, tokenId, 'the secret is wrong'));
      else if (suspended) outcomes.set(request, await refuse(repositories, tokenId, 'the tenant is suspended'));
      else if (node !== undefined) outcomes.set(request, await this.#again(repositories, context, node, token, publicKey));
      else if (notAttested(token, request) !== null) outcomes.set(request, await refuse(repositories, tokenId, notAttested(token, request)!));
      else if (await spoken(repositories, request)) outcomes.set(request, await refuse(repositories, tokenId, 'the machine it shows is enrolled already'));
      else if (fresh.some((other) => other.input.enrollmentUuid === input.enrollmentUuid)) throw new DomainError('service.unavailable', 'One machine asked twice at once; the requests are answered one after the other.');
      else fresh.push(request);
    }
    if (token !== undefined && fresh.length > 0) {
      const claimed = fresh.slice(0, await repositories.enrollmentTokens.claim(token.id, fresh.length));
      for (const [index, outcome] of (await this.#issue(repositories, context, token, claimed)).entries()) outcomes.set(claimed[index]!, outcome);
      for (const request of fresh.slice(claimed.length)) outcomes.set(request, await refuse(repositories, token.id, whyNotClaimed(token, this.#ports.now())));
    }
    return requests.map((request) => outcomes.get(request)!);
  }

  async #issue(repositories: EnrollmentRepositories, context: TenantContext, token: EnrollmentToken, requests: readonly ReadRequest[]): Promise<readonly CertificateOutcome[]> {
    if (requests.length === 0) return [];
    const nodes = await repositories.nodeEnrollment.insertAll(
      requests.map((request) => ({
        clusterId: token.clusterId,
        enrollmentUuid: request.input.enrollmentUuid,
        tokenId: token.id,
        publicKey: request.publicKey,
        labels: token.labels,
        description: request.input.description,
        attestation: attestationOf(request),
      })),
    );
    const now = this.#ports.now();
    const issued = await Promise.all(
      requests.map(async ({ publicKey }, index) => {
        const node = nodes[index]!;
        return { nodeId: node.id, certificate: await this.#ports.authority.issue({ tenantId: context.tenantId, clusterId: token.clusterId, nodeId: node.id }, publicKey, now) };
      }),
    );
    await repositories.nodeCertificates.insertAll(issued, 'enroll');
    await repositories.enrollmentTokens.recordUse(token.id, nodes.at(-1)!.id);
    await repositories.audit.appendAll(
      issued.map(({ certificate }, index) => {
        const node = nodes[index]!;
        return {
          action: 'node.enrolled',
          target: { kind: 'node', id: node.id, name: node.name },
          summary: `Node ${node.name} enrolled with token ${token.name}.`,
          details: { clusterId: token.clusterId, tokenId: token.id, serial: certificate.serial },
        };
      }),
    );
    return issued.map(({ certificate }, index) => granted(context, nodes[index]!, certificate.chainPem));
  }

  async #again(repositories: EnrollmentRepositories, context: TenantContext, node: EnrolledNode, token: EnrollmentToken, publicKey: Uint8Array): Promise<CertificateOutcome> {
    const certificate = await repositories.nodeCertificates.latest(node.id);
    if (node.clusterId !== token.clusterId || certificate === undefined || !sameSecret(certificate.publicKey, publicKey)) {
      return { status: 409, code: 'resource.conflict', detail: 'This enrollment id belongs to another key. Remove the agent state of this machine to enroll it as a new node.' };
    }
    if (node.state !== 'active') return { status: 403, code: 'auth.forbidden', detail: `Node ${node.name} is ${node.state}.` };
    return granted(context, node, certificate.chainPem);
  }
}

/** What the token demands and the request has not shown. */
function notAttested({ requiredAttestation }: EnrollmentToken, { attested }: ReadRequest): string | null {
  if (requiredAttestation === null) return null;
  const shown = attested.get(requiredAttestation);
  if (shown === undefined) return `the token demands ${requiredAttestation} evidence and none was sent`;
  return typeof shown === 'string' ? `its ${requiredAttestation} evidence was not believed: ${shown}` : null;
}

function machineOf({ attested }: ReadRequest): AttestedIdentity | undefined {
  return [...attested.values()].find((shown) => typeof shown !== 'string');
}

/** Evidence may be read by others on the machine, so that it enrolls one node at a time. */
async function spoken(repositories: EnrollmentRepositories, request: ReadRequest): Promise<boolean> {
  const machine = machineOf(request);
  return machine !== undefined && (await repositories.nodeEnrollment.hasActiveSubject(machine.subject));
}

function attestationOf(request: ReadRequest): { readonly method: string; readonly subject?: string; readonly claims?: Readonly<Record<string, string>> } {
  return machineOf(request) ?? { method: 'token' };
}

function granted(context: TenantContext, node: EnrolledNode, certificateChain: string): CertificateOutcome {
  return { status: 200, tenantId: context.tenantId, clusterId: node.clusterId, nodeId: node.id, nodeName: node.name, certificateChain };
}

function whyNotClaimed(token: EnrollmentToken, now: Date): string {
  if (token.revokedAt !== null) return 'the token is revoked';
  if (token.expiresAt <= now) return 'the token has expired';
  return `all ${token.maxUses} uses are taken`;
}

async function refuse(repositories: EnrollmentRepositories, tokenId: string, reason: string): Promise<CertificateOutcome> {
  await repositories.audit.append({
    action: 'node.enrollment-refused',
    outcome: 'denied',
    target: { kind: 'enrollment-token', id: tokenId },
    summary: `An enrollment was refused: ${reason}.`,
    details: { reason },
  });
  return REFUSED;
}
