import { DomainError } from '@palisade/errors';

/** Who a node certificate speaks for. */
export interface NodeIdentity {
  readonly trustDomain: string;
  readonly tenantId: string;
  readonly clusterId: string;
  readonly nodeId: string;
}

const ID = '[A-Za-z0-9][A-Za-z0-9._-]{0,63}';
const FORM = new RegExp(`^spiffe://([a-z0-9][a-z0-9.-]{0,254})/tenant/(${ID})/cluster/(${ID})/node/(${ID})$`);

/** `spiffe://<trust-domain>/tenant/<t>/cluster/<c>/node/<n>` (SPIFFE-ID §2). @throws DomainError `request.invalid` */
export function formatNodeSpiffeId(identity: NodeIdentity): string {
  const id = `spiffe://${identity.trustDomain}/tenant/${identity.tenantId}/cluster/${identity.clusterId}/node/${identity.nodeId}`;
  if (!FORM.test(id)) throw new DomainError('request.invalid', 'A part of the node identity holds characters that a SPIFFE id cannot carry.');
  return id;
}

/** @throws DomainError `request.invalid` for anything but a node's SPIFFE id */
export function parseNodeSpiffeId(id: string): NodeIdentity {
  const match = id.length > 2048 ? null : FORM.exec(id);
  if (match === null) throw new DomainError('request.invalid', 'This is not the SPIFFE id of a node.');
  const [, trustDomain, tenantId, clusterId, nodeId] = match as unknown as [string, string, string, string, string];
  return { trustDomain, tenantId, clusterId, nodeId };
}

/**
 * Reads the node's identity from `X509Certificate.subjectAltName`. An SVID carries exactly one URI (X509-SVID §2).
 * @throws DomainError `request.invalid`
 */
export function nodeIdentityOfSubjectAltName(subjectAltName: string | undefined): NodeIdentity {
  const names = (subjectAltName ?? '').split(', ');
  const uris = names.filter((name) => name.startsWith('URI:'));
  if (uris.length !== 1) throw new DomainError('request.invalid', 'A node certificate carries exactly one URI name.');
  return parseNodeSpiffeId((uris[0] as string).slice('URI:'.length));
}
