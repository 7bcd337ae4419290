/** `toPorts` and `icmps` of Cilium policies: ports, protocols, ICMP types (rules 48, 49, 53). */

import type { PortMatch, TransportProtocol } from '@palisade/policy';
import { integer, list, object, oneOf, refine, text } from '../schema/readers.ts';
import { quoted, type Reader, type Reading } from '../schema/reading.ts';
import { fieldOrSelf, type SourceNode } from '../source/source-node.ts';
import { ICMP_TYPES, ICMPV6_TYPES } from './icmp-types.ts';

/** IANA numbers of protocols without ports. */
const PORTLESS = { VRRP: 112, IGMP: 2, GRE: 47, IPIP: 4, IPV6: 41, ESP: 50, AH: 51 } as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPV6', 'ANY', 'VRRP', 'IGMP', 'GRE', 'IPIP', 'IPV6', 'ESP', 'AH'] as const;
type Protocol = (typeof PROTOCOLS)[number];
const TRANSPORTS: readonly TransportProtocol[] = ['TCP', 'UDP', 'SCTP'];

export interface PortSpec {
  readonly protocol: Protocol;
  readonly matches: readonly PortMatch[];
  readonly isZero: boolean;
  readonly isRange: boolean;
}

const fields = object(
  { port: text('A port', { max: 63 }), endPort: integer('endPort', 0, 65_535), protocol: oneOf('The protocol', PROTOCOLS) },
  { what: 'A port entry' },
);

export const port: Reader<PortSpec> = (node, reading) => {
  const entry = fields(node, reading);
  if (entry === undefined) return undefined;
  const { port: given = '', endPort = 0, protocol = 'ANY' } = entry;
  if (protocol in PORTLESS) return portless(protocol as keyof typeof PORTLESS, given, node, reading);
  if (given === '') return reading.error(node, 'port.invalid', 'A port entry needs "port": a number or a name in quotes, "0" for every port.');
  if (isServiceName(given)) return named(given, protocol, endPort, node, reading);
  if (!/^(0|[1-9]\d{0,4})$/.test(given) || Number(given) > 65_535) {
    return reading.error(
      fieldOrSelf(node, 'port'),
      'port.invalid',
      `${quoted(given)} is no port: write a number from 0 to 65535 without leading zeros, or a service name of at most 15 letters, digits and inner "-".`,
    );
  }
  return numbered(Number(given), endPort, protocol, node, reading);
};

function portless(protocol: keyof typeof PORTLESS, given: string, node: SourceNode, reading: Reading): PortSpec | undefined {
  if (given !== '' && given !== '0')
    return reading.error(fieldOrSelf(node, 'port'), 'port.invalid', `${protocol} has no ports: leave "port" out or write "0".`);
  return { protocol, matches: [{ kind: 'protocol', number: PORTLESS[protocol] }], isZero: true, isRange: false };
}

function named(name: string, protocol: Protocol, endPort: number, node: SourceNode, reading: Reading): PortSpec | undefined {
  if (endPort !== 0)
    return reading.error(fieldOrSelf(node, 'endPort'), 'port.invalid', 'endPort needs a port number to start from: a named port has no range.');
  const protocols = transportsOf(protocol);
  if (protocols.length === 0) return reading.error(fieldOrSelf(node, 'port'), 'port.invalid', `${protocol} has no named ports: use "icmps".`);
  return { protocol, matches: [{ kind: 'named', name: name.toLowerCase(), protocols }], isZero: false, isRange: false };
}

function numbered(first: number, endPort: number, protocol: Protocol, node: SourceNode, reading: Reading): PortSpec | undefined {
  if (protocol === 'ICMP' || protocol === 'ICMPV6') {
    if (first > 255 || endPort !== 0)
      return reading.error(node, 'icmp.invalid', 'ICMP has types from 0 to 255 instead of ports and no ranges: use "icmps".');
    return { protocol, matches: [{ kind: 'icmp', protocol: protocol === 'ICMP' ? 'ICMP' : 'ICMPv6', type: first }], isZero: false, isRange: false };
  }
  if (endPort !== 0 && endPort < first) {
    reading.warning(
      fieldOrSelf(node, 'endPort'),
      'port.invalid',
      `The range would end at ${endPort}, before it starts: only port ${first} is meant, as Cilium has it.`,
    );
  }
  // Port 0 means every port (rule 48), and so does a range that starts there: the engine of the language sees no start.
  const last = first === 0 && endPort === 0 ? 65_535 : Math.max(first, endPort);
  const matches = transportsOf(protocol).map((transport): PortMatch => ({ kind: 'range', protocol: transport, first, last }));
  return { protocol, matches, isZero: first === 0, isRange: endPort > first };
}

function transportsOf(protocol: Protocol): TransportProtocol[] {
  return TRANSPORTS.filter((transport) => protocol === 'ANY' || protocol === transport);
}

/** RFC 6335 §5.1: letters, digits and single inner dashes, at least one letter, at most 15. Case does not matter. */
function isServiceName(value: string): boolean {
  return value.length <= 15 && /^[a-zA-Z0-9-]+$/.test(value) && /[a-zA-Z]/.test(value) && !/--|^-|-$/.test(value);
}

const icmpType: Reader<number | string> = (node, reading) =>
  node.kind === 'scalar' && typeof node.value === 'number'
    ? integer('An ICMP type', 0, 255)(node, reading)
    : text('An ICMP type', { min: 1, max: 63 })(node, reading);

const icmpField: Reader<PortMatch> = refine(
  object({ family: oneOf('The family', ['IPv4', 'IPv6']), type: icmpType }, { what: 'An ICMP field', required: ['type'] }),
  ({ family = 'IPv4', type }, node, reading) => {
    const number = typeof type === 'number' ? type : icmpNumber(type, family);
    if (number === undefined)
      return reading.error(
        fieldOrSelf(node, 'type'),
        'icmp.invalid',
        `${quoted(String(type))} is no ICMP type of ${family}: write a number from 0 to 255 or a name such as EchoRequest.`,
      );
    return { kind: 'icmp', protocol: family === 'IPv4' ? 'ICMP' : 'ICMPv6', type: number };
  },
);

function icmpNumber(type: string, family: 'IPv4' | 'IPv6'): number | undefined {
  if (/^(0|[1-9]\d{0,2})$/.test(type)) return Number(type) <= 255 ? Number(type) : undefined;
  return (family === 'IPv4' ? ICMP_TYPES : ICMPV6_TYPES).get(type);
}

/** At most 40 ports and 40 ICMP fields, as upstream. */
export const MOST_PORTS = 40;
export const ports = list(port, { what: 'ports', max: MOST_PORTS });

export const icmps = list(object({ fields: list(icmpField, { what: 'fields', max: MOST_PORTS }) }, { what: 'An icmps entry' }), { what: 'icmps' });

/** Deny rules know ports only (rule 40). */
const denyNotHere = {
  rules: 'deny rules are decided on addresses and ports alone.',
  listener: 'deny rules have no listener.',
  serverNames: 'deny rules do not look at TLS.',
};
export const denyPorts = list(object({ ports }, { what: 'A toPorts entry of a deny rule', notHere: denyNotHere }), { what: 'toPorts' });
