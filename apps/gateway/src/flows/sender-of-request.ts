import type { TLSSocket } from 'node:tls';
import { DomainError } from '@palisade/errors';
import type { FlowSender } from '@palisade/control';
import { nodeIdentityOfSubjectAltName } from '@palisade/protocol';
import { parseTenantId } from '@palisade/tenancy';
import type { FastifyRequest } from 'fastify';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** One parse per connection: an agent keeps its connection for hours. */
const known = new WeakMap<object, FlowSender>();

/** The part of a request that says who is at the other end. */
export interface CertifiedRequest {
  readonly raw: Pick<FastifyRequest['raw'], 'socket'>;
}

/**
 * Tenant, cluster and node from the client certificate, which TLS has verified. Nothing in the payload can change them.
 * @throws DomainError `auth.unauthenticated` without a node certificate
 */
export function senderOf(request: CertifiedRequest): FlowSender {
  const socket = request.raw.socket as TLSSocket;
  const session = (request.raw as { stream?: { session?: object } }).stream?.session ?? socket;
  const sender = known.get(session) ?? readSender(socket);
  known.set(session, sender);
  return sender;
}

function readSender(socket: TLSSocket): FlowSender {
  const certificate = typeof socket.getPeerX509Certificate === 'function' && socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (certificate === undefined) throw new DomainError('auth.unauthenticated', 'Flows are taken only from a node with a certificate of this cluster.');
  const identity = nodeIdentityOfSubjectAltName(certificate.subjectAltName);
  if (!UUID.test(identity.clusterId) || !UUID.test(identity.nodeId)) throw new DomainError('auth.unauthenticated', 'The certificate does not name a cluster and a node by their ids.');
  return { tenantId: parseTenantId(identity.tenantId), clusterId: identity.clusterId, nodeId: identity.nodeId };
}
