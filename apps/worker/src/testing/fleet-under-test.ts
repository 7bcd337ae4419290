import { generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto';
import { localSigner, sealNodeObservation } from '@palisade/bundle';
import {
  AdvanceRollout,
  ApplyPolicies,
  AssignWave,
  AuditLocalActs,
  CreateRollout,
  EnrollNode,
  ManageEnrollmentTokens,
  parseEnrollmentToken,
  parsePolicyText,
  ProcessEndpointReports,
  RecoverNode,
  RenewCertificate,
  SealBundle,
  SteerRollout,
  type Attestor,
  type CertificateOutcome,
  type CheckInRecord,
  type CreateEnrollmentTokenInput,
  type ObservedState,
  type ProgramSet,
} from '@palisade/control';
import { PostgresFlowReader } from '@palisade/flow-store';
import { createUnitOfWork, enrollmentRepositories, flowDenyDelta, openAgentPool, openDatabase, policyRepositories, postgresAgentDesk, postgresOwnerLookup, rolloutRepositories } from '@palisade/store';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import * as x509 from '@peculiar/x509';
import { certificateRequest } from '../../../../fleet/src/certificate-request.ts';
import { withClient } from '../../../../tools/postgres/database.ts';
import { createTestDatabase } from '../../../../tools/postgres/test-database.ts';
import { CandidateValidator } from '../bundles/candidate-validator.ts';
import { flowConnections } from '../flows/flow-housekeeping.ts';
import { StoredPolicyContent } from '../bundles/stored-policy-content.ts';
import { NodeCertificateAuthority } from '../enrollment/node-certificate-authority.ts';
import { workerRepositories } from '../worker-repositories.ts';

const PROGRAMS: ProgramSet = {
  imageVersion: 1,
  minAgent: '0.1.0',
  kernel: { min: '5.10', features: [], btf: true },
  maps: [],
  byArch: new Map([['amd64', [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object: Buffer.from('object') }]]]),
};

export interface TestNode {
  readonly nodeId: string;
  readonly key: KeyObject;
}

/** The worker's use cases and the gateway's desk in this process, each under its own database role. */
export async function startFleet() {
  const database = await createTestDatabase();
  const worker = await openDatabase({ url: database.workerUrl, applicationName: 'test-worker', poolSize: 16 });
  const api = await openDatabase({ url: database.apiUrl, applicationName: 'test-api' });
  const pool = openAgentPool({ url: database.gatewayUrl, applicationName: 'test-gateway', size: 4, onIdleError: () => undefined });
  const admin = <Row extends object>(sql: string, values: unknown[] = []): Promise<Row[]> => withClient(database.adminUrl, async (client) => (await client.query<Row>(sql, values)).rows);
  const now = (): Date => new Date();
  /** Believes any evidence that says `good <subject>`: the verifiers have tests of their own. */
  const attestor: Attestor = {
    verify: async ({ type, document }) => {
      const [word, subject = ''] = Buffer.from(document).toString().split(' ');
      return word === 'good' ? { ok: true, machine: { method: type, subject, claims: {} } } : { ok: false, message: 'it is not good' };
    },
  };
  const director = [localSigner(generateKeyPairSync('ed25519').privateKey)];
  const { authority, caPem } = await selfMadeAuthority();
  const unitOfWork = createUnitOfWork(worker, workerRepositories);
  const owners = postgresOwnerLookup(worker);
  const assignWave = new AssignWave({ director, now });
  const flowPool = flowConnections(database.workerUrl);
  // The programs of these tests are no objects; what is checked about objects has tests of its own.
  const validator = new CandidateValidator({ unitOfWork, programs: { check: async () => ({ problems: [], note: 'not checked in this test', objects: [] }) }, flows: new PostgresFlowReader(flowPool), now });
  const sealBundle = new SealBundle({ unitOfWork, programs: { current: async () => PROGRAMS }, policies: new StoredPolicyContent(unitOfWork), validator, director, now });
  const enrollNode = new EnrollNode({ unitOfWork, owners, authority, attestor, now });
  const tokens = new ManageEnrollmentTokens({ unitOfWork: createUnitOfWork(api, enrollmentRepositories) });
  const policies = new ApplyPolicies({ unitOfWork: createUnitOfWork(api, policyRepositories), parse: parsePolicyText });
  const rolloutsOfApi = createUnitOfWork(api, rolloutRepositories);

  const [tenant] = await admin<{ tenant_id: string }>("INSERT INTO palisade.tenants (name) VALUES ('acme') RETURNING tenant_id");
  const context: TenantContext = systemContext(parseTenantId(tenant!.tenant_id), 'test');
  const [cluster] = await admin<{ id: string }>("INSERT INTO palisade.clusters (tenant_id, name, settings) VALUES ($1, 'prod', '{}') RETURNING id", [context.tenantId]);
  const clusterId = cluster!.id;

  const enroll = (token: string, options: { key?: KeyObject; uuid?: string; hostname?: string; csr?: Buffer; evidence?: { type: string; document: Buffer }[] } = {}): Promise<CertificateOutcome> => {
    const key = options.key ?? newKey();
    const parsed = parseEnrollmentToken(token)!;
    return enrollNode.execute({
      tokenPublicId: parsed.publicId,
      secretHash: parsed.secretHash,
      enrollmentUuid: options.uuid ?? randomUUID(),
      csr: options.csr ?? certificateRequest(key),
      description: { hostname: options.hostname ?? 'node', agentVersion: '0.1.0', arch: 'amd64', kernel: { release: '6.1', features: [] }, addresses: [] },
      evidence: options.evidence ?? [],
      sourceAddress: '127.0.0.1',
    });
  };
  const newToken = async (input: Partial<CreateEnrollmentTokenInput> = {}): Promise<{ text: string; id: string }> => {
    const created = await tokens.create(context, { clusterId, name: 'test', maxUses: 1, ...input });
    return { text: created.text, id: created.token.id };
  };
  const desk = postgresAgentDesk(pool);
  const keys = new Map<string, KeyObject>();
  let statements = 0;
  /** What a node says, signed with its key; `more` is what a gateway makes of it. */
  const checkIn = async (nodeId: string, observed: Partial<ObservedState> = {}, more: Partial<CheckInRecord> = {}) => {
    const said = { ...NOTHING, ...observed };
    const key = keys.get(nodeId);
    const signedObservation = key === undefined ? null : await signed(nodeId, key, said, (statements += 1));
    return desk.checkIn(context.tenantId, [{ nodeId, clusterId, serial: 'none', bootId: 'boot', observed: said, agentVersion: '0.1.0', endpointReport: null, signedObservation, ...more }]);
  };

  return {
    database,
    context,
    clusterId,
    nodeCaPem: caPem,
    admin,
    desk,
    tokens,
    newToken,
    enroll,
    checkIn,
    renew: new RenewCertificate({ unitOfWork, authority, now }),
    recover: new RecoverNode({ unitOfWork, owners, authority, now }),
    advance: new AdvanceRollout({ unitOfWork, sealBundle, assignWave, denyDelta: flowDenyDelta(worker) }),
    assignWave,
    localActs: new AuditLocalActs({ unitOfWork }),
    reports: new ProcessEndpointReports({ unitOfWork, director }),
    createRollout: new CreateRollout({ unitOfWork: rolloutsOfApi }),
    steer: new SteerRollout({ unitOfWork: rolloutsOfApi }),
    unitOfWork,
    /** Applies policies; answers the new revision. */
    apply: async (text: string): Promise<number> => (await policies.execute(context, { clusterId, text })).revision.revision,
    /** Nodes that are enrolled and have checked in once. */
    async nodes(count: number): Promise<TestNode[]> {
      const token = await newToken({ maxUses: count });
      return Promise.all(
        Array.from({ length: count }, async (_, index) => {
          const key = newKey();
          const outcome = await enroll(token.text, { key, hostname: `n${index}` });
          if (outcome.status !== 200) throw new Error(outcome.detail);
          keys.set(outcome.nodeId, key);
          await checkIn(outcome.nodeId);
          return { nodeId: outcome.nodeId, key };
        }),
      );
    },
    auditOf: (action: string) => admin<{ summary: string; outcome: string; details: Record<string, string> | null }>('SELECT summary, outcome, details FROM palisade.audit_event WHERE tenant_id = $1 AND action = $2 ORDER BY seq', [context.tenantId, action]),
    async close() {
      await pool.end();
      await flowPool.end();
      await worker.destroy();
      await api.destroy();
      await database.drop();
    },
  };
}

export type FleetUnderTest = Awaited<ReturnType<typeof startFleet>>;

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

function signed(nodeId: string, key: KeyObject, said: ObservedState, sequence: number): Promise<Uint8Array> {
  const big = (generation: ObservedState['generation']) => (generation === null ? null : { epoch: BigInt(generation.epoch), n: BigInt(generation.n) });
  return sealNodeObservation(
    { nodeId, bootId: 'boot', boot: 1, sequence, generation: big(said.generation), contentDigest: said.contentDigest, state: said.state, subjectGeneration: big(said.subjectGeneration), reason: said.reason, deniedPackets: BigInt(said.deniedPackets) },
    localSigner(key),
  );
}

const NOTHING: ObservedState = {
  generation: null,
  contentDigest: '',
  state: 'none',
  subjectGeneration: null,
  reason: '',
  policyRevision: 0,
  identityRevision: 0,
  endpointsProtected: 0,
  endpointsUnprotected: 0,
  deniedPackets: 0,
  disabledUntilMs: null,
  localActs: [],
};

async function selfMadeAuthority(): Promise<{ readonly authority: NodeCertificateAuthority; readonly caPem: string }> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const signingKey = await crypto.subtle.importKey('pkcs8', privateKey.export({ type: 'pkcs8', format: 'der' }), algorithm, false, ['sign']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '01',
    subject: 'CN=test node CA',
    issuer: 'CN=test node CA',
    notBefore: new Date(Date.now() - 1000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey: new x509.PublicKey(publicKey.export({ type: 'spki', format: 'der' })),
    signingKey,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const caPem = certificate.toString('pem');
  return { authority: await NodeCertificateAuthority.open({ chainPem: caPem, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, trustDomain: 'palisade.test' }), caPem };
}
