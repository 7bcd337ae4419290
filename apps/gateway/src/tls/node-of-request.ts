import type { Http2Session, Http2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { DomainError } from '@palisade/errors';
import { nodeIdentityOfSubjectAltName } from '@palisade/protocol';
import type { FastifyRequest } from 'fastify';

/** Who the certificate of a connection speaks for. */
export interface CertifiedNode {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly nodeId: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Unix ms; nothing is taken on the connection after that. */
  readonly notAfterMs: number;
}

/** Time that an answer under way has when the connection ends. */
const CLOSING_MS = 2_000;
/** Timers hold 31 bits of milliseconds; certificates live a day. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** One parse per connection: an agent keeps its connection for hours. */
const known = new WeakMap<object, CertifiedNode>();

/**
 * The node of the client certificate, which TLS has verified against the node CA. Nothing in a payload can change it.
 * @throws DomainError `auth.unauthenticated`
 */
export function nodeOfSession(session: Http2Session, nowMs: number): CertifiedNode {
  const node = known.get(session) ?? firstOf(session, nowMs);
  if (node.notAfterMs <= nowMs) throw new DomainError('auth.unauthenticated', 'The node certificate of this connection has expired; recover it by challenge.');
  return node;
}

/** A connection outlives no certificate: it ends with the one it was made with, whether or not somebody asks something on it. */
function firstOf(session: Http2Session, nowMs: number): CertifiedNode {
  const node = readNode(session.socket as TLSSocket);
  known.set(session, node);
  const end = setTimeout(() => {
    session.close();
    setTimeout(() => session.destroy(), CLOSING_MS).unref();
  }, Math.min(LONGEST_TIMER_MS, Math.max(0, node.notAfterMs - nowMs)));
  end.unref();
  session.once('close', () => clearTimeout(end));
  return node;
}

/** @throws DomainError `auth.unauthenticated` */
export function nodeOfRequest(request: FastifyRequest, nowMs: number): CertifiedNode {
  const { session } = (request.raw as unknown as { stream: Http2Stream }).stream;
  if (session === undefined) throw new DomainError('auth.unauthenticated', 'The connection has ended.');
  return nodeOfSession(session, nowMs);
}

function readNode(socket: TLSSocket): CertifiedNode {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new DomainError('auth.unauthenticated', 'This route needs a node certificate.');
  if (!socket.authorized) {
    const why = String(socket.authorizationError ?? 'unknown reason');
    throw new DomainError('auth.unauthenticated', why === 'CERT_HAS_EXPIRED' ? 'The node certificate has expired; recover it by challenge.' : `The node certificate was not accepted: ${why}.`);
  }
  const identity = nodeIdentityOfSubjectAltName(certificate.subjectAltName);
  if (![identity.tenantId, identity.clusterId, identity.nodeId].every((id) => UUID.test(id))) {
    throw new DomainError('auth.unauthenticated', 'The certificate does not name a tenant, a cluster and a node by their ids.');
  }
  return { tenantId: identity.tenantId, clusterId: identity.clusterId, nodeId: identity.nodeId, serial: certificate.serialNumber.toLowerCase(), notAfterMs: Date.parse(certificate.validTo) };
}
