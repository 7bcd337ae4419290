import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, verify, X509Certificate } from 'node:crypto';
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  canonicalJson,
  localSigner,
  parseGeneration,
  sealAssignment,
  sealBundle,
  sealIdentities,
  sealRoot,
  sealSnapshot,
  sealTargets,
  sealTimestamp,
  sha256Hex,
  trustPin,
  verifyEndpointReport,
  type BundleInput,
  type EndpointReport,
  type JsonValue,
  type RootRole,
  type SealedBundle,
  type Signer,
  ROOT_ROLES,
} from '@palisade/bundle';
import type { ClusterFacts, FactsIncrement } from '@palisade/policy';
import {
  ChallengeRequestSchema,
  ChallengeResponseSchema,
  CheckInRequestSchema,
  CheckInResponseSchema,
  decodeMessage,
  encodeMessage,
  EnrollRequestSchema,
  EnrollResponseSchema,
  formatNodeSpiffeId,
  IdentityDeliverySchema,
  nodeIdentityOfSubjectAltName,
  recoveryMessage,
  RecoverRequestSchema,
  RenewRequestSchema,
  RenewResponseSchema,
  type CheckInRequest,
  type Desired,
  type MessageInitShape,
  type DesiredSchema,
} from '@palisade/protocol';
import { issueLeaf, requestedKey, testAuthority, type TestAuthority } from './test-certificates.ts';

const DAY = 86_400_000;
export const SCOPE = { tenantId: 'tenant-1', clusterId: 'cluster-1' } as const;
export const OBJECT = Buffer.from('an eBPF object');

export const EMPTY_FACTS: ClusterFacts = { clusterName: 'test', identityRevision: 1, identities: [], workloads: [], nodes: [], services: [], cidrGroups: [], hostFirewall: false };

/**
 * The agent's other side with real TLS, real certificates and real signatures, and no database: what the agent's own
 * tests talk to. Faults are scripted by replacing `intercept`.
 */
export class TestControlPlane {
  readonly signers: Record<RootRole, Signer>;
  readonly nodeCa: TestAuthority;
  gatewayCa: TestAuthority;
  token = 'enr_test.secret';
  /** Runs before every request; answering means returning true. */
  intercept: ((path: string, response: Http2ServerResponse) => boolean | Promise<boolean>) | undefined;
  /** The next request to this path is carried out and its answer is lost. */
  loseAnswerTo: string | undefined;
  /** Everything nodes said, newest last. */
  readonly checkIns: CheckInRequest[] = [];
  readonly paths: string[] = [];
  readonly tokensSeen: string[] = [];
  endpointReport: EndpointReport | undefined;
  certificateLifetimeMs = DAY;
  enrollments = new Map<string, { nodeId: string; spki: Uint8Array }>();
  readonly replacedSerials = new Set<string>();
  readonly metadata = new Map<string, Uint8Array>();
  readonly blobs = new Map<string, Uint8Array>();
  readonly manifests = new Map<string, Uint8Array>();
  desired: MessageInitShape<typeof DesiredSchema> | undefined;
  snapshot: { revision: number; envelope: Uint8Array } | undefined;
  readonly increments: { revision: number; previous: number; envelope: Uint8Array }[] = [];
  imageVersion = 0;
  readonly #held = new Set<() => void>();
  readonly #sockets = new Set<TLSSocket>();
  #server: Http2SecureServer | undefined;
  #port = 0;
  readonly #nonces = new Map<string, string>();

  private constructor(nodeCa: TestAuthority, gatewayCa: TestAuthority) {
    this.nodeCa = nodeCa;
    this.gatewayCa = gatewayCa;
    const signer = () => localSigner(generateKeyPairSync('ed25519').privateKey);
    this.signers = { root: signer(), targets: signer(), director: signer(), snapshot: signer(), timestamp: signer() };
  }

  static async start(): Promise<TestControlPlane> {
    const plane = new TestControlPlane(await testAuthority('node CA'), await testAuthority('gateway CA'));
    await plane.publishRoot(1, plane.signers, [plane.signers.root]);
    await plane.publishPrograms();
    await plane.publishFacts(EMPTY_FACTS);
    await plane.listen();
    return plane;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get pin(): string {
    return trustPin(this.metadata.get('root.1') as Uint8Array);
  }

  get last(): CheckInRequest | undefined {
    return this.checkIns.at(-1);
  }

  /** Starts to listen, on the same port as before. */
  async listen(): Promise<void> {
    const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
    const leaf = await issueLeaf(this.gatewayCa, { spki: createPublicKey(key).export({ type: 'spki', format: 'der' }), name: { type: 'ip', value: '127.0.0.1' } });
    const server = createSecureServer({
      cert: leaf.pem + this.gatewayCa.pem,
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      ca: this.nodeCa.pem,
      requestCert: true,
      rejectUnauthorized: false,
    });
    server.on('secureConnection', (socket: TLSSocket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.on('request', (request, response) => void this.#serve(request, response).catch((error: unknown) => {
      if (!response.headersSent) answer(response, 500, Buffer.from(String(error)));
    }));
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** As a kill would end it. */
  async stop(): Promise<void> {
    this.#release();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => (this.#server === undefined ? resolve() : this.#server.close(() => resolve())));
    this.#server = undefined;
  }

  async publishRoot(version: number, keys: Record<RootRole, Signer>, signers: readonly Signer[], thresholds: Partial<Record<RootRole, number>> = {}): Promise<void> {
    const roles = Object.fromEntries(ROOT_ROLES.map((name) => [name, { keys: [keys[name].key], threshold: thresholds[name] ?? 1 }])) as unknown as Parameters<typeof sealRoot>[0]['roles'];
    const pinned = { trustDomain: 'palisade.test', nodeCas: [this.nodeCa.pem], gatewayCas: [this.gatewayCa.pem] };
    this.metadata.set(`root.${version}`, await sealRoot({ version, expiresMs: Date.now() + 365 * DAY, roles, pinned }, signers));
  }

  async publishPrograms(objects: readonly Uint8Array[] = [OBJECT], lifetimeMs = DAY): Promise<void> {
    this.imageVersion += 1;
    const version = this.imageVersion;
    const expiresMs = Date.now() + lifetimeMs;
    const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
    const programs = objects.map((object) => ({ name: 'endpoint', arch, featureLevel: 'base', sha256: sha256Hex(object), bytes: object.byteLength, compiler: 'test' }) as const);
    const targets = await sealTargets({ version, expiresMs, programs }, [this.signers.targets]);
    const snapshot = await sealSnapshot({ version, expiresMs, targets: { version, bytes: targets } }, [this.signers.snapshot]);
    const timestamp = await sealTimestamp({ version, expiresMs, snapshot: { version, bytes: snapshot } }, [this.signers.timestamp]);
    this.metadata.set('targets', targets).set('snapshot', snapshot).set('timestamp', timestamp);
  }

  async publishFacts(facts: ClusterFacts, epoch = 1n): Promise<void> {
    const content = facts as unknown as JsonValue;
    this.snapshot = { revision: facts.identityRevision, envelope: await sealIdentities({ kind: 'snapshot', ...SCOPE, epoch, revision: facts.identityRevision, content }, [this.signers.director]) };
    this.#release();
  }

  async publishIncrement(step: FactsIncrement): Promise<void> {
    const content = step as unknown as JsonValue;
    const envelope = await sealIdentities({ kind: 'increment', ...SCOPE, epoch: 1n, revision: step.identityRevision, previousRevision: step.previousRevision, content }, [this.signers.director]);
    this.increments.push({ revision: step.identityRevision, previous: step.previousRevision, envelope });
    this.#release();
  }

  /** Seals a bundle for all enrolled nodes and offers it. @param generation `epoch.n` */
  async offer(generation: string, overrides: Partial<BundleInput> = {}, director: Signer = this.signers.director): Promise<SealedBundle> {
    const bundle = await sealBundle(
      {
        bundleId: 'bundle-1',
        ...SCOPE,
        generation: parseGeneration(generation),
        arch: process.arch === 'arm64' ? 'arm64' : 'amd64',
        kernel: { min: '5.0', features: [], btf: false },
        programs: [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object: OBJECT }],
        maps: [],
        policy: { revision: Number(generation.split('.')[1]), content: Buffer.from(canonicalJson({ irVersion: 1, policies: [] })) },
        minimumIdentityRevision: 0,
        imageVersion: this.imageVersion,
        minAgent: '0.1.0',
        expiresMs: Date.now() + DAY,
        ...overrides,
      },
      [director],
    );
    const nodes = [...this.enrollments.values()].map(({ nodeId }) => ({ nodeId, manifestSha256: bundle.manifestSha256 }));
    const proofs = await sealAssignment({ ...SCOPE, generation: bundle.manifest.generation, expiresMs: Date.now() + DAY, nodes }, [director]);
    const proof = proofs.get(nodes[0]?.nodeId ?? '');
    this.manifests.set(bundle.manifestSha256, bundle.envelope);
    for (const [sha256, bytes] of bundle.blobs) this.blobs.set(sha256, bytes);
    this.desired = {
      generation: bundle.manifest.generation,
      contentDigest: bundle.contentDigest,
      manifestSha256: bundle.manifestSha256,
      assignment: proof?.envelope ?? new Uint8Array(),
      leafIndex: BigInt(proof?.leafIndex ?? 0),
      assignmentPath: [...(proof?.path ?? [])],
    };
    this.#release();
    return bundle;
  }

  #release(): void {
    for (const wake of this.#held) wake();
    this.#held.clear();
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const url = new URL(request.url, 'https://gateway');
    const body = await readBody(request);
    this.paths.push(`${request.method} ${request.url}`);
    if ((await this.intercept?.(url.pathname, response)) === true) return;
    if (this.loseAnswerTo === url.pathname) {
      this.loseAnswerTo = undefined;
      response.end = () => {
        response.stream.close();
        return response;
      };
    }
    const route = url.pathname.replace('/agent/v1/', '');
    if (route === 'enroll') return this.#enroll(body, response);
    if (route === 'recover/challenge') return this.#challenge(body, response);
    if (route === 'recover') return this.#recover(body, response);
    if (route === 'metadata/root') return answerOrMissing(response, this.metadata.get(`root.${url.searchParams.get('version') ?? '1'}`));
    const node = peerOf(request);
    if (node === undefined) return answer(response, 401, Buffer.from('{}'), 'application/problem+json');
    if (route === 'renew') return this.#renew(body, node, response);
    if (route === 'check-in') return this.#checkIn(body, response);
    if (route.startsWith('metadata/')) return answerOrMissing(response, this.metadata.get(route.slice('metadata/'.length)));
    if (route.startsWith('manifests/')) return answerOrMissing(response, this.manifests.get(route.slice('manifests/'.length)));
    if (route.startsWith('blobs/')) return answerOrMissing(response, this.blobs.get(route.slice('blobs/'.length)));
    if (route === 'identities') return this.#identities(url.searchParams.get('since'), response);
    return answer(response, 404, Buffer.alloc(0));
  }

  async #enroll(body: Buffer, response: Http2ServerResponse): Promise<void> {
    const request = decodeMessage(EnrollRequestSchema, body);
    this.tokensSeen.push(request.token);
    if (request.token !== this.token) return problem(response, 401, 'auth.unauthenticated', 'The enrollment token is not valid.');
    const spki = await requestedKey(request.csr);
    if (spki === undefined) return problem(response, 400, 'request.invalid', 'The CSR is not signed by its key.');
    const known = this.enrollments.get(request.enrollmentUuid);
    const nodeId = known?.nodeId ?? `node-${this.enrollments.size + 1}`;
    this.enrollments.set(request.enrollmentUuid, { nodeId, spki });
    const certificateChain = (await this.#issue(nodeId, spki)).pem;
    answer(response, 200, encodeMessage(EnrollResponseSchema, { nodeId, ...SCOPE, certificateChain, root: this.metadata.get('root.1') as Uint8Array, nodeName: 'node-a' }));
  }

  #issue(nodeId: string, spki: Uint8Array) {
    const value = formatNodeSpiffeId({ trustDomain: 'palisade.test', ...SCOPE, nodeId });
    return issueLeaf(this.nodeCa, { spki, name: { type: 'url', value }, notAfterMs: Date.now() + this.certificateLifetimeMs });
  }

  async #renew(body: Buffer, node: { readonly nodeId: string; readonly serial: string }, response: Http2ServerResponse): Promise<void> {
    const request = decodeMessage(RenewRequestSchema, body);
    if (request.replacesSerial !== node.serial || this.replacedSerials.has(node.serial)) return problem(response, 403, 'auth.forbidden', 'The node is locked: its certificate was renewed elsewhere.');
    this.replacedSerials.add(node.serial);
    const spki = await requestedKey(request.csr);
    if (spki === undefined) return problem(response, 400, 'request.invalid', 'The CSR is not signed by its key.');
    answer(response, 200, encodeMessage(RenewResponseSchema, { certificateChain: (await this.#issue(node.nodeId, spki)).pem }));
  }

  async #challenge(body: Buffer, response: Http2ServerResponse): Promise<void> {
    const nonce = randomBytes(32);
    this.#nonces.set(nonce.toString('hex'), decodeMessage(ChallengeRequestSchema, body).nodeId);
    answer(response, 200, encodeMessage(ChallengeResponseSchema, { nonce, expiresAtMs: BigInt(Date.now() + 60_000) }));
  }

  async #recover(body: Buffer, response: Http2ServerResponse): Promise<void> {
    const request = decodeMessage(RecoverRequestSchema, body);
    const known = [...this.enrollments.values()].find(({ nodeId }) => nodeId === request.nodeId);
    const nonce = Buffer.from(request.nonce).toString('hex');
    const fresh = this.#nonces.get(nonce) === request.nodeId;
    this.#nonces.delete(nonce);
    const key = known && createPublicKey({ key: Buffer.from(known.spki), format: 'der', type: 'spki' });
    if (!fresh || known === undefined || key === undefined || !verify('sha256', recoveryMessage(request.nonce), key, request.signature)) {
      return problem(response, 401, 'auth.unauthenticated', 'The challenge was not answered.');
    }
    answer(response, 200, encodeMessage(RenewResponseSchema, { certificateChain: (await this.#issue(known.nodeId, known.spki)).pem }));
  }

  async #checkIn(body: Buffer, response: Http2ServerResponse): Promise<void> {
    const request = decodeMessage(CheckInRequestSchema, body);
    this.checkIns.push(request);
    if (request.endpointReport.byteLength > 0) {
      const { nodeId, spki } = [...this.enrollments.values()][0] as { nodeId: string; spki: Uint8Array };
      const verdict = verifyEndpointReport(request.endpointReport, spki, nodeId);
      if (verdict.ok) this.endpointReport = verdict.report;
    }
    if (request.holdMs > 0 && !this.#hasNewsFor(request)) await this.#hold(request.holdMs, response);
    const newestRoot = Math.max(...[...this.metadata.keys()].filter((name) => name.startsWith('root.')).map((name) => Number(name.slice(5))));
    const identityRevision = Math.max(this.snapshot?.revision ?? 0, ...this.increments.map(({ revision }) => revision));
    answer(response, 200, encodeMessage(CheckInResponseSchema, {
      ackToken: randomBytes(8).toString('hex'),
      ...(this.desired && { desired: this.desired }),
      identityRevision: BigInt(identityRevision),
      rootVersion: BigInt(newestRoot),
      serverTimeMs: BigInt(Date.now()),
      reconnectWindowMs: 50,
    }));
  }

  #hasNewsFor(request: CheckInRequest): boolean {
    const wanted = this.desired?.contentDigest;
    const newest = Math.max(this.snapshot?.revision ?? 0, ...this.increments.map(({ revision }) => revision));
    const settled = request.observed?.subjectGeneration?.n ?? request.observed?.generation?.n;
    return (wanted !== undefined && (this.desired as Desired).generation?.n !== settled) || BigInt(newest) > (request.versions?.identityRevision ?? 0n);
  }

  #hold(ms: number, response: Http2ServerResponse): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#held.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#held.add(done);
      response.stream.once('close', done);
    });
  }

  #identities(since: string | null, response: Http2ServerResponse): void {
    const envelopes: Uint8Array[] = [];
    if (since === null) {
      if (this.snapshot !== undefined) envelopes.push(this.snapshot.envelope);
    } else {
      let at = Number(since);
      for (const step of this.increments) {
        if (step.revision <= at) continue;
        envelopes.push(step.envelope);
        at = step.revision;
      }
      if (envelopes.length === 0 && this.snapshot !== undefined && this.snapshot.revision > Number(since)) envelopes.push(this.snapshot.envelope);
    }
    answer(response, 200, encodeMessage(IdentityDeliverySchema, { envelopes, more: since === null && this.increments.length > 0 }));
  }
}

function peerOf(request: Http2ServerRequest): { readonly nodeId: string; readonly serial: string } | undefined {
  const socket = request.stream.session?.socket as TLSSocket;
  const raw = socket.getPeerCertificate().raw as Buffer | undefined;
  if (!socket.authorized || raw === undefined) return undefined;
  const certificate = new X509Certificate(raw);
  return { nodeId: nodeIdentityOfSubjectAltName(certificate.subjectAltName).nodeId, serial: certificate.serialNumber.toLowerCase() };
}

async function readBody(request: Http2ServerRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function answer(response: Http2ServerResponse, status: number, body: Uint8Array, type = 'application/x-protobuf'): void {
  if (response.stream.destroyed) return;
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}

function answerOrMissing(response: Http2ServerResponse, body: Uint8Array | undefined): void {
  if (body === undefined) answer(response, 404, Buffer.alloc(0));
  else answer(response, 200, body, 'application/octet-stream');
}

export function problem(response: Http2ServerResponse, status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}): void {
  if (response.stream.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ code, detail }));
}

/** A client's own key as the control plane stores it. */
export function spkiOf(privateKeyPem: string): Buffer {
  return createPublicKey(createPrivateKey(privateKeyPem)).export({ type: 'spki', format: 'der' });
}
