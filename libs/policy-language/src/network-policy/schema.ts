/** networking.k8s.io/v1 NetworkPolicy as its API server accepts it (rules 13, 19). */

import { formatPrefix, type IpPrefix, type LabelRequirement, type TransportProtocol } from '@palisade/policy';
import { kubernetesKey, labelSelector } from '../kubernetes/label-selector.ts';
import { checkExceptions, cidr } from '../schema/cidr.ts';
import { checked, integer, list, object, oneOf, refine, text } from '../schema/readers.ts';
import { quoted, type Reader, type Reading } from '../schema/reading.ts';
import { fieldOrSelf, type SourceNode } from '../source/source-node.ts';

export interface PortSpec {
  readonly protocol: TransportProtocol;
  /** Absent: every port of the protocol. */
  readonly port: number | string | undefined;
  readonly endPort: number | undefined;
}

export type PeerSpec =
  | { readonly kind: 'block'; readonly cidr: string; readonly except: readonly string[] }
  | {
      readonly kind: 'selectors';
      readonly pods: readonly LabelRequirement[] | undefined;
      readonly namespaces: readonly LabelRequirement[] | undefined;
    };

/** An IANA service name in lower case (RFC 6335), or a port number. */
const portNumberOrName: Reader<number | string> = (node, reading) => {
  if (node.kind === 'scalar' && typeof node.value === 'number') return integer('A port', 1, 65_535)(node, reading);
  const name = text('A port')(node, reading);
  if (name === undefined) return undefined;
  const valid = name.length <= 15 && /^[a-z0-9-]+$/.test(name) && /[a-z]/.test(name) && !/--|^-|-$/.test(name);
  return valid
    ? name
    : reading.error(
        node,
        'port.invalid',
        `${quoted(name)} is no port name: it has at most 15 characters a–z, 0–9 and single "-" inside, one of them a letter. A number is written without quotes.`,
      );
};

const port: Reader<PortSpec> = refine(
  object(
    { protocol: oneOf('The protocol', ['TCP', 'UDP', 'SCTP']), port: portNumberOrName, endPort: integer('endPort', 1, 65_535) },
    { what: 'A port entry', notHere: { ports: 'one entry names one port or range.' } },
  ),
  ({ protocol = 'TCP', port, endPort }, node, reading) => {
    if (endPort !== undefined && typeof port !== 'number') {
      return reading.error(
        fieldOrSelf(node, 'endPort'),
        'port.invalid',
        'endPort needs a port number to start from: it cannot stand alone or follow a port name.',
      );
    }
    if (endPort !== undefined && typeof port === 'number' && endPort < port) {
      return reading.error(fieldOrSelf(node, 'endPort'), 'port.invalid', `The range ends at ${endPort}, before it starts at ${port}: swap them.`);
    }
    return { protocol, port, endPort };
  },
);

const ipBlockFields = object({ cidr, except: list(cidr, { what: 'except' }) }, { what: 'An ipBlock', required: ['cidr'] });
const ipBlock = checked(ipBlockFields, checkIpBlock);

function checkIpBlock(
  block: { readonly cidr: IpPrefix; readonly except: readonly IpPrefix[] | undefined },
  node: SourceNode,
  reading: Reading,
): void {
  const holes = fieldOrSelf(node, 'except');
  checkExceptions(block.cidr, block.except ?? [], true, holes.kind === 'list' ? holes.items : [], reading);
}

const peer: Reader<PeerSpec> = refine(
  object(
    { podSelector: labelSelector('podSelector', kubernetesKey), namespaceSelector: labelSelector('namespaceSelector', kubernetesKey), ipBlock },
    { what: 'A peer' },
  ),
  ({ podSelector: pods, namespaceSelector: namespaces, ipBlock: block }, node, reading) => {
    if (block !== undefined && (pods !== undefined || namespaces !== undefined)) {
      return reading.error(node, 'peer.combination', 'A peer is either an ipBlock or selectors, not both: write two peers.');
    }
    if (block !== undefined) return { kind: 'block', cidr: formatPrefix(block.cidr), except: (block.except ?? []).map(formatPrefix) };
    if (pods === undefined && namespaces === undefined) {
      return reading.error(
        node,
        'field.missing',
        'A peer needs podSelector, namespaceSelector or ipBlock. To allow everybody, leave out the whole from or to list.',
      );
    }
    return { kind: 'selectors', pods, namespaces };
  },
);

const ports = list(port, { what: 'ports' });

const ingressRule = object(
  { from: list(peer, { what: 'from' }), ports },
  { what: 'An ingress rule', widens: ['from', 'ports'], notHere: { to: 'ingress rules have "from".' } },
);
const egressRule = object(
  { to: list(peer, { what: 'to' }), ports },
  { what: 'An egress rule', widens: ['to', 'ports'], notHere: { from: 'egress rules have "to".' } },
);

const specFields = object(
  {
    podSelector: labelSelector('podSelector', kubernetesKey),
    ingress: list(ingressRule, { what: 'ingress' }),
    egress: list(egressRule, { what: 'egress' }),
    policyTypes: list(oneOf('A policy type', ['Ingress', 'Egress']), { what: 'policyTypes', max: 2 }),
  },
  { what: 'The spec of a NetworkPolicy' },
);

/** The `spec` of a NetworkPolicy. A missing podSelector selects every pod, as the API server has it. */
export const networkPolicySpec = checked(specFields, ({ podSelector }, node, reading) => {
  if (podSelector === undefined)
    reading.warning(node, 'field.missing', 'Without podSelector the policy selects every pod of its namespace; write podSelector: {} to say so.');
});
