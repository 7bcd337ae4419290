import { createPrivateKey, sign, X509Certificate } from 'node:crypto';
import type { TrustedState } from '@palisade/bundle';
import {
  AGENT_ROUTES,
  ChallengeRequestSchema,
  ChallengeResponseSchema,
  encodeMessage,
  maxMessageBytes,
  PROTOBUF_CONTENT_TYPE,
  recoveryMessage,
  RecoverRequestSchema,
  RenewRequestSchema,
  RenewResponseSchema,
} from '@palisade/protocol';
import type { AgentState, EnrollmentKey, NodeRecord } from '../state/agent-state.ts';
import { decodeAnswer } from '../transport/decode-answer.ts';
import type { GatewayRequests } from '../transport/gateway-requests.ts';
import { certificateRequest } from './certificate-request.ts';
import { assertOwnCertificate } from './enroll.ts';

const TIMEOUT_MS = 30_000;

export interface CertificateTimes {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export function certificateTimes(node: NodeRecord): CertificateTimes {
  const leaf = new X509Certificate(node.certificateChainPem);
  return { notBeforeMs: Date.parse(leaf.validFrom), notAfterMs: Date.parse(leaf.validTo) };
}

/** Half-life with ±10 % jitter, so that a fleet that enrolled together does not renew together. @param random in [0, 1) */
export function renewalTimeMs(times: CertificateTimes, random: number): number {
  const life = times.notAfterMs - times.notBeforeMs;
  return times.notBeforeMs + life * 0.5 * (0.9 + 0.2 * random);
}

/**
 * Renews over mTLS with the same key and names the serial it replaces: renewing a replaced serial is how a cloned disk
 * shows itself.
 * @throws GatewayRefused (403: the node is locked or revoked), GatewayUnreachable
 */
export async function renewCertificate(gateway: GatewayRequests, state: AgentState, trusted: TrustedState, node: NodeRecord, key: EnrollmentKey): Promise<NodeRecord> {
  const replacesSerial = new X509Certificate(node.certificateChainPem).serialNumber.toLowerCase();
  const csr = certificateRequest(createPrivateKey(key.privateKeyPem));
  const { body } = await gateway.request({
    method: AGENT_ROUTES.renew.method,
    path: AGENT_ROUTES.renew.path,
    body: encodeMessage(RenewRequestSchema, { csr, replacesSerial }),
    contentType: PROTOBUF_CONTENT_TYPE,
    maxBytes: maxMessageBytes(RenewResponseSchema),
    timeoutMs: TIMEOUT_MS,
  });
  return keep(state, trusted, key, { ...node, certificateChainPem: decodeAnswer(RenewResponseSchema, body).certificateChain });
}

/**
 * A node whose certificate has expired proves itself by signing a nonce with its enrolled key.
 * @throws GatewayRefused, GatewayUnreachable
 */
export async function recoverCertificate(gateway: GatewayRequests, state: AgentState, trusted: TrustedState, node: NodeRecord, key: EnrollmentKey): Promise<NodeRecord> {
  const challenge = await gateway.request({
    method: AGENT_ROUTES.recoverChallenge.method,
    path: AGENT_ROUTES.recoverChallenge.path,
    body: encodeMessage(ChallengeRequestSchema, { nodeId: node.nodeId }),
    contentType: PROTOBUF_CONTENT_TYPE,
    maxBytes: maxMessageBytes(ChallengeResponseSchema),
    timeoutMs: TIMEOUT_MS,
  });
  const { nonce } = decodeAnswer(ChallengeResponseSchema, challenge.body);
  const privateKey = createPrivateKey(key.privateKeyPem);
  const { body } = await gateway.request({
    method: AGENT_ROUTES.recover.method,
    path: AGENT_ROUTES.recover.path,
    body: encodeMessage(RecoverRequestSchema, {
      nodeId: node.nodeId,
      nonce,
      csr: certificateRequest(privateKey),
      signature: sign('sha256', recoveryMessage(nonce), privateKey),
    }),
    contentType: PROTOBUF_CONTENT_TYPE,
    maxBytes: maxMessageBytes(RenewResponseSchema),
    timeoutMs: TIMEOUT_MS,
  });
  return keep(state, trusted, key, { ...node, certificateChainPem: decodeAnswer(RenewResponseSchema, body).certificateChain });
}

function keep(state: AgentState, trusted: TrustedState, key: EnrollmentKey, node: NodeRecord): NodeRecord {
  assertOwnCertificate(node, key, trusted);
  state.saveNode(node);
  return node;
}
