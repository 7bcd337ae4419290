import type { AuditLog } from '../audit/audit-log.ts';
import type { ClusterRepository } from '../clusters/cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { WakeUp } from '../wake-up.ts';
import type { IssuedCertificate } from './certificate-authority.ts';

/** An enrollment token as it is listed; the secret is never readable again. */
export interface EnrollmentToken {
  readonly id: string;
  readonly clusterId: string;
  readonly publicId: string;
  readonly name: string;
  readonly maxUses: number;
  readonly uses: number;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
  /** Bound to every node that the token enrolls. */
  readonly labels: Readonly<Record<string, string>>;
  readonly requiredAttestation: string | null;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  readonly lastNodeId: string | null;
}

export interface NewEnrollmentToken {
  readonly clusterId: string;
  readonly publicId: string;
  readonly secretHash: Uint8Array;
  readonly name: string;
  readonly maxUses: number;
  readonly lifetimeSeconds: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly requiredAttestation: string | null;
  readonly createdBy: string;
}

export interface EnrollmentTokenRepository {
  insert(token: NewEnrollmentToken): Promise<EnrollmentToken>;
  list(clusterId: string, page: PageRequest): Promise<Page<EnrollmentToken>>;
  find(id: string): Promise<(EnrollmentToken & { readonly secretHash: Uint8Array }) | undefined>;
  /** Sets `revokedAt` once; undefined when the cluster has no such token. */
  revoke(clusterId: string, id: string): Promise<EnrollmentToken | undefined>;
  /** Takes up to `wanted` uses on database time; how many it got: fewer when exhausted, none when revoked or expired. */
  claim(id: string, wanted: number): Promise<number>;
  /** Remembers which node used it last. */
  recordUse(id: string, nodeId: string): Promise<void>;
}

export interface NodeDescription {
  readonly hostname: string;
  readonly agentVersion: string;
  readonly arch: string;
  readonly kernel: { readonly release: string; readonly features: readonly string[] };
  readonly addresses: readonly string[];
}

export interface EnrolledNode {
  readonly id: string;
  readonly clusterId: string;
  readonly name: string;
  readonly state: 'active' | 'locked' | 'revoked';
  readonly stateReason: string | null;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

export interface NewNode {
  readonly clusterId: string;
  readonly enrollmentUuid: string;
  readonly tokenId: string;
  readonly publicKey: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  readonly description: NodeDescription;
  readonly attestation: { readonly method: string; readonly subject?: string; readonly claims?: Readonly<Record<string, string>> };
}

export interface NodeEnrollmentRepository {
  /** Nothing is issued to the nodes of a suspended tenant. */
  isTenantSuspended(): Promise<boolean>;
  findByEnrollments(enrollmentUuids: readonly string[]): Promise<readonly (EnrolledNode & { readonly enrollmentUuid: string })[]>;
  /** Locks the node until the transaction ends. */
  findForUpdate(id: string): Promise<EnrolledNode | undefined>;
  /** In the order given. The name is the hostname, or the hostname and a suffix where the cluster has it already. */
  insertAll(nodes: readonly NewNode[]): Promise<readonly EnrolledNode[]>;
  /** True while an active node was enrolled with evidence for this machine. */
  hasActiveSubject(subject: string): Promise<boolean>;
  lock(id: string, reason: string): Promise<void>;
  bindKey(id: string, publicKey: Uint8Array): Promise<void>;
}

export interface StoredCertificate {
  readonly nodeId: string;
  readonly serial: string;
  readonly chainPem: string;
  readonly publicKey: Uint8Array;
  readonly replacedBy: string | null;
}

export interface NodeCertificateRepository {
  insertAll(issued: readonly { readonly nodeId: string; readonly certificate: IssuedCertificate }[], issuedFor: 'enroll' | 'renew' | 'recover'): Promise<void>;
  find(serial: string): Promise<StoredCertificate | undefined>;
  /** Newest first issued of the node. */
  latest(nodeId: string): Promise<StoredCertificate | undefined>;
  markReplaced(serial: string, by: string): Promise<void>;
  /** True when the node has shown this certificate at a check-in. */
  wasPresented(nodeId: string, serial: string): Promise<boolean>;
}

export interface EnrollmentRepositories {
  readonly clusters: ClusterRepository;
  readonly enrollmentTokens: EnrollmentTokenRepository;
  readonly nodeEnrollment: NodeEnrollmentRepository;
  readonly nodeCertificates: NodeCertificateRepository;
  readonly recovery: RecoveryRepository;
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}

export interface RecoveryRepository {
  /** True once for a nonce that was given to this node and has not expired. */
  consume(nonce: Uint8Array, nodeId: string): Promise<boolean>;
}

/** Which tenant a token or node belongs to; asked before any tenant is known and answering nothing else. */
export interface OwnerLookup {
  ofEnrollmentToken(publicId: string): Promise<{ readonly tenantId: string; readonly tokenId: string } | undefined>;
  ofNode(nodeId: string): Promise<string | undefined>;
}

/** What the gateway answers its agent: a status of HTTP and either certificate or problem. */
export type CertificateOutcome =
  | {
      readonly status: 200;
      readonly tenantId: string;
      readonly clusterId: string;
      readonly nodeId: string;
      readonly nodeName: string;
      readonly certificateChain: string;
    }
  | { readonly status: 400 | 401 | 403 | 409 | 429; readonly code: string; readonly detail: string };
