import { randomBytes } from 'node:crypto';
import { parseEnrollmentToken, type AgentDesk, type AgentRequestDesk, type CertificateOutcome } from '@palisade/control';
import { DomainError, type ErrorCode } from '@palisade/errors';
import type { Logger } from '@palisade/nest-kit';
import {
  AGENT_ROUTES,
  ChallengeRequestSchema,
  ChallengeResponseSchema,
  decodeMessage,
  encodeMessage,
  EnrollRequestSchema,
  EnrollResponseSchema,
  IdentityDeliverySchema,
  maxMessageBytes,
  METADATA_ROLES,
  PROTOBUF_CONTENT_TYPE,
  RecoverRequestSchema,
  RenewRequestSchema,
  RenewResponseSchema,
  type EnrollRequest,
} from '@palisade/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { NodeAdmission } from './admission/node-admission.ts';
import { problemAnswer } from './problem-answer.ts';
import type { RequestBoard } from './requests/request-board.ts';
import { nodeOfRequest, type CertifiedNode } from './tls/node-of-request.ts';

const CHALLENGE_MS = 60_000;
const IDENTITY_BYTES = 8 * 1024 * 1024;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export interface AgentRoutePorts {
  readonly agents: AgentDesk;
  readonly requests: AgentRequestDesk;
  readonly admission: NodeAdmission;
  readonly board: RequestBoard;
  /** Resolves when downloads may be served. */
  readonly pushed: () => Promise<void>;
  readonly logger: Logger;
}

/** The agent channel but for check-ins and flows. */
export function registerAgentRoutes(server: FastifyInstance, ports: AgentRoutePorts): void {
  registerEnrollment(server, ports);
  registerDownloads(server, ports);
}

function registerEnrollment(server: FastifyInstance, ports: AgentRoutePorts): void {
  const { board, requests, agents, logger } = ports;
  const handle = (work: (request: FastifyRequest) => Promise<Uint8Array>) => async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      return sendMessage(reply, await work(request));
    } catch (error) {
      return sendProblem(reply, error, logger);
    }
  };
  const route = (path: string, bodyLimit: number, work: (request: FastifyRequest) => Promise<Uint8Array>): void => {
    server.post(path, { bodyLimit }, handle(work));
  };
  route(AGENT_ROUTES.enroll.path, maxMessageBytes(EnrollRequestSchema), async (request) => {
    const message = decodeMessage(EnrollRequestSchema, bodyOf(request));
    const outcome = certificateOf(await board.ask({ kind: 'enroll', input: enrollInput(message), csr: message.csr, sourceAddress: request.ip }));
    const root = await agents.metadata('root', 1);
    if (root === undefined) throw new DomainError('service.unavailable', 'The root metadata is not published yet. Come back in a moment.');
    return encodeMessage(EnrollResponseSchema, { ...outcome, root: root.bytes });
  });
  route(AGENT_ROUTES.renew.path, maxMessageBytes(RenewRequestSchema), async (request) => {
    const node = nodeOfRequest(request, Date.now());
    const message = decodeMessage(RenewRequestSchema, bodyOf(request));
    const input = { tenantId: node.tenantId, nodeId: node.nodeId, presentedSerial: node.serial, replacesSerial: message.replacesSerial };
    const { certificateChain } = certificateOf(await board.ask({ kind: 'renew', input, csr: message.csr, sourceAddress: request.ip }));
    return encodeMessage(RenewResponseSchema, { certificateChain });
  });
  route(AGENT_ROUTES.recoverChallenge.path, maxMessageBytes(ChallengeRequestSchema), async (request) => {
    const { nodeId } = decodeMessage(ChallengeRequestSchema, bodyOf(request));
    if (!UUID.test(nodeId)) throw new DomainError('request.invalid', 'A node id is a UUID.', { pointer: '/node_id' });
    const nonce = randomBytes(32);
    const expires = await requests.createChallenge(nodeId, nonce, CHALLENGE_MS);
    if (expires === 'too-many') throw new DomainError('request.rate-limited', 'This node has open challenges already. Use one of them or wait a minute.', { params: { retryAfterSeconds: 60 } });
    return encodeMessage(ChallengeResponseSchema, { nonce, expiresAtMs: BigInt(expires.getTime()) });
  });
  route(AGENT_ROUTES.recover.path, maxMessageBytes(RecoverRequestSchema), async (request) => {
    const message = decodeMessage(RecoverRequestSchema, bodyOf(request));
    const input = { nodeId: message.nodeId, nonce: hex(message.nonce), signature: hex(message.signature) };
    const { certificateChain } = certificateOf(await board.ask({ kind: 'recover', input, csr: message.csr, sourceAddress: request.ip }));
    return encodeMessage(RenewResponseSchema, { certificateChain });
  });
}

function enrollInput(message: EnrollRequest): Record<string, unknown> {
  const token = parseEnrollmentToken(message.token);
  if (token === null) throw new DomainError('auth.unauthenticated', 'The enrollment token is not valid. Create a new one and try again.');
  const { node } = message;
  return {
    tokenPublicId: token.publicId,
    // The gateway's database role reads no requests back, and what is stored is the hash only.
    secretHash: hex(token.secretHash),
    enrollmentUuid: message.enrollmentUuid.toLowerCase(),
    evidence: message.evidence.slice(0, 4).map(({ type, document }) => ({ type, document: hex(document) })),
    description: {
      hostname: node?.hostname ?? '',
      agentVersion: node?.agentVersion ?? '',
      arch: node?.arch ?? '',
      kernel: { release: node?.kernel?.release ?? '', features: node?.kernel?.features ?? [] },
      addresses: node?.addresses ?? [],
    },
  };
}

function registerDownloads(server: FastifyInstance, { agents, admission, pushed, logger }: AgentRoutePorts): void {
  const download = (path: string, type: string, read: (request: FastifyRequest) => Promise<Uint8Array | undefined>): void => {
    server.get(path, async (request, reply) => {
      try {
        await pushed();
        const bytes = await read(request);
        if (bytes === undefined) throw new DomainError('resource.not-found', 'There is no such file.');
        return reply.type(type).send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      } catch (error) {
        return sendProblem(reply, error, logger);
      }
    });
  };
  const nodeOf = async (request: FastifyRequest): Promise<CertifiedNode> => {
    const node = nodeOfRequest(request, Date.now());
    await admission.admit(node);
    return node;
  };
  download('/agent/v1/metadata/:role', 'application/json', async (request) => {
    const { role } = request.params as { role: string };
    // The root proves itself and is read before anything is trusted; all else is for nodes.
    const node = role === 'root' ? undefined : await nodeOf(request);
    if (!(METADATA_ROLES as readonly string[]).includes(role)) return undefined;
    if (node !== undefined && role === 'recovery') return agents.recovery(node.tenantId, node.clusterId);
    const version = (request.query as { version?: string }).version;
    if (version !== undefined && !/^[1-9]\d{0,9}$/.test(version)) throw new DomainError('request.invalid', 'A version is a positive number.');
    return (await agents.metadata(role, version === undefined ? null : Number(version)))?.bytes;
  });
  download('/agent/v1/manifests/:sha256', 'application/json', async (request) => {
    const node = await nodeOf(request);
    return agents.manifest(node.tenantId, node.clusterId, digestOf(request));
  });
  download('/agent/v1/blobs/:sha256', 'application/octet-stream', async (request) => {
    const node = await nodeOf(request);
    return agents.blob(node.tenantId, digestOf(request));
  });
  download(AGENT_ROUTES.identities.path, PROTOBUF_CONTENT_TYPE, async (request) => {
    const node = await nodeOf(request);
    const since = (request.query as { since?: string }).since ?? '0';
    if (!/^\d{1,15}$/.test(since)) throw new DomainError('request.invalid', 'A revision is a number.');
    const delivery = await agents.identities(node.tenantId, node.clusterId, Number(since), IDENTITY_BYTES);
    return encodeMessage(IdentityDeliverySchema, { envelopes: [...delivery.envelopes], more: delivery.more });
  });
}

function digestOf(request: FastifyRequest): string {
  const { sha256 } = request.params as { sha256: string };
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw new DomainError('request.invalid', 'A file is named by 64 lower-case hex digits.');
  return sha256;
}

function certificateOf(outcome: unknown): Extract<CertificateOutcome, { status: 200 }> {
  const answer = outcome as CertificateOutcome;
  if (answer.status === 200) return answer;
  throw new DomainError(answer.code as ErrorCode, answer.detail);
}

function bodyOf(request: FastifyRequest): Uint8Array {
  if (request.body instanceof Uint8Array) return request.body;
  throw new DomainError('request.invalid', `Send the message as ${PROTOBUF_CONTENT_TYPE}.`);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function sendMessage(reply: FastifyReply, body: Uint8Array): FastifyReply {
  return reply.type(PROTOBUF_CONTENT_TYPE).send(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
}

function sendProblem(reply: FastifyReply, error: unknown, logger: Logger): FastifyReply {
  if (reply.sent || reply.raw.destroyed) return reply;
  const { status, headers, body } = problemAnswer(error, reply.request.id, logger);
  return reply.status(status).headers(headers).send(body);
}
