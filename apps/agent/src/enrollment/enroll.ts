import { createPrivateKey, generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto';
import type { TrustedState } from '@palisade/bundle';
import {
  AGENT_ROUTES,
  encodeMessage,
  EnrollRequestSchema,
  EnrollResponseSchema,
  maxMessageBytes,
  nodeIdentityOfSubjectAltName,
  PROTOBUF_CONTENT_TYPE,
} from '@palisade/protocol';
import type { AgentState, EnrollmentKey, NodeRecord } from '../state/agent-state.ts';
import { decodeAnswer, unreadable } from '../transport/decode-answer.ts';
import type { GatewayRequests } from '../transport/gateway-requests.ts';
import { collectEvidence, type AttestationSource } from './attestation-evidence.ts';
import { certificateRequest } from './certificate-request.ts';

export interface NodeFeatures {
  readonly hostname: string;
  readonly agentVersion: string;
  readonly arch: string;
  readonly kernel: { readonly release: string; readonly features: string[] };
  readonly addresses: string[];
}

/** The gateway signs within ten seconds or says 503. */
const ENROLL_TIMEOUT_MS = 30_000;

/** The node's key and enrollment id, created and made durable on first use: they exist before any request names them. */
export function enrollmentKey(state: AgentState): EnrollmentKey {
  const known = state.enrollmentKey();
  if (known !== undefined) return known;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const key = { enrollmentUuid: randomUUID(), privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
  state.saveEnrollmentKey(key);
  return key;
}

/**
 * Enrolls over a connection whose server was verified against the trusted root. Repeating it after a lost answer gives
 * the same node (same enrollment id, same key).
 * @throws GatewayRefused (401: the token; 409: another key), GatewayUnreachable; Error when the certificate is not this node's
 */
export async function enroll(gateway: GatewayRequests, state: AgentState, trusted: TrustedState, token: string, node: NodeFeatures, sources: readonly AttestationSource[] = []): Promise<NodeRecord> {
  const key = enrollmentKey(state);
  const privateKey = createPrivateKey(key.privateKeyPem);
  const evidence = await collectEvidence(sources, key.enrollmentUuid);
  const { body } = await gateway.request({
    method: AGENT_ROUTES.enroll.method,
    path: AGENT_ROUTES.enroll.path,
    body: encodeMessage(EnrollRequestSchema, { token, enrollmentUuid: key.enrollmentUuid, csr: certificateRequest(privateKey), node, evidence }),
    contentType: PROTOBUF_CONTENT_TYPE,
    maxBytes: maxMessageBytes(EnrollResponseSchema),
    timeoutMs: ENROLL_TIMEOUT_MS,
  });
  const answer = decodeAnswer(EnrollResponseSchema, body);
  const record: NodeRecord = {
    nodeId: answer.nodeId,
    nodeName: answer.nodeName,
    tenantId: answer.tenantId,
    clusterId: answer.clusterId,
    certificateChainPem: answer.certificateChain,
  };
  assertOwnCertificate(record, key, trusted);
  state.saveNode(record);
  return record;
}

/**
 * The certificate must be for our key, name us, and come from a node CA that the root vouches for.
 * @throws GatewayRefused 502 where there is no certificate to look at, Error where it is another one
 */
export function assertOwnCertificate(node: NodeRecord, key: EnrollmentKey, trusted: TrustedState): void {
  const leaf = readCertificate(node.certificateChainPem);
  if (!leaf.checkPrivateKey(createPrivateKey(key.privateKeyPem))) throw new Error('The control plane sent a certificate for another key.');
  const name = nodeIdentityOfSubjectAltName(leaf.subjectAltName);
  if (name.nodeId !== node.nodeId || name.clusterId !== node.clusterId || name.tenantId !== node.tenantId) {
    throw new Error('The control plane sent a certificate that names another node.');
  }
  const { nodeCas, trustDomain } = trusted.root.signed.pinned;
  if (name.trustDomain !== trustDomain) throw new Error(`The certificate is of trust domain ${name.trustDomain}, the root names ${trustDomain}.`);
  if (!nodeCas.some((ca) => leaf.verify(new X509Certificate(ca).publicKey))) {
    throw new Error('The certificate was not issued by a node CA that the trusted root names.');
  }
}

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw unreadable('the answer holds no certificate');
  }
}
