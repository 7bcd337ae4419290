/** policy.networking.k8s.io/v1alpha2 ClusterNetworkPolicy as its CRD accepts it (rules 20–30). */

import { formatPrefix, type LabelRequirement, type PortMatch, type TransportProtocol } from '@palisade/policy';
import { kubernetesKey, labelSelector } from '../kubernetes/label-selector.ts';
import { cidr } from '../schema/cidr.ts';
import { checked, integer, list, object, oneOf, refine, text } from '../schema/readers.ts';
import { quoted, type Reader, type Reading } from '../schema/reading.ts';
import { fieldOrSelf, type SourceNode } from '../source/source-node.ts';

/** The CRD allows this many rules, peers, protocols, networks and names. */
const MOST = 25;

export type PodsSpec = { readonly namespaces: readonly LabelRequirement[]; readonly pods: readonly LabelRequirement[] };

export type PeerSpec =
  | ({ readonly kind: 'pods' } & PodsSpec)
  | { readonly kind: 'nodes'; readonly nodes: readonly LabelRequirement[] }
  | { readonly kind: 'networks'; readonly networks: readonly string[] }
  | { readonly kind: 'domainNames'; readonly names: readonly string[] }
  /** A field of a newer API: fails closed (rule 29). */
  | { readonly kind: 'unknown' };

const namespaces = labelSelector('namespaces selector', kubernetesKey);

const pods = object(
  { namespaceSelector: labelSelector('namespaceSelector', kubernetesKey), podSelector: labelSelector('podSelector', kubernetesKey) },
  { what: 'The pods selector', required: ['namespaceSelector', 'podSelector'] },
);

const subject: Reader<PodsSpec> = refine(object({ namespaces, pods }, { what: 'The subject' }), (value, node, reading) => {
  if (!hasExactlyOne(value, 'The subject', 'namespaces or pods', node, reading)) return undefined;
  return podsOf(value);
});

function podsOf(value: {
  readonly namespaces: readonly LabelRequirement[] | undefined;
  readonly pods: { namespaceSelector: readonly LabelRequirement[]; podSelector: readonly LabelRequirement[] } | undefined;
}): PodsSpec {
  return { namespaces: value.namespaces ?? value.pods?.namespaceSelector ?? [], pods: value.pods?.podSelector ?? [] };
}

function hasExactlyOne(value: object, what: string, choices: string, node: SourceNode, reading: Reading): boolean {
  const set = Object.keys(value).length;
  if (set === 1) return true;
  reading.error(
    node,
    set === 0 ? 'field.missing' : 'field.exclusive',
    `${what} must have exactly one of ${choices}, not ${set === 0 ? 'none' : `${set} of them`}.`,
  );
  return false;
}

const domainName: Reader<string> = refine(text('A domain name', { min: 1, max: 253 }), (value, node, reading) => {
  const labels = value.replace(/\.$/, '').replace(/^\*\./, '').split('.');
  const valid = labels.length > 1 && labels.every((label) => /^[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?$/.test(label));
  return valid
    ? value
    : reading.error(
        node,
        'fqdn.invalid',
        `${quoted(value)} is no domain name here: write at least two labels such as example.com, or *.example.com for everything below it; * cannot stand inside a label or anywhere else.`,
      );
});

const ingressPeerFields = object(
  { namespaces, pods },
  {
    what: 'An ingress peer',
    notHere: {
      nodes: 'only egress rules can name nodes.',
      networks: 'only egress rules can name networks.',
      domainNames: 'only egress rules can name domains.',
    },
  },
);

const egressPeerFields = object(
  {
    namespaces,
    pods,
    nodes: labelSelector('nodes selector', kubernetesKey),
    networks: unique(
      list(
        refine(text('A network', { max: 43 }), (_, node, reading) => networkText(node, reading)),
        { what: 'networks', min: 1, max: MOST },
      ),
      'networks',
    ),
    domainNames: unique(list(domainName, { what: 'domainNames', min: 1, max: MOST }), 'domainNames'),
  },
  { what: 'An egress peer' },
);

function networkText(node: SourceNode, reading: Reading): string | undefined {
  const prefix = cidr(node, reading);
  return prefix === undefined ? undefined : formatPrefix(prefix);
}

function unique(reader: Reader<readonly string[]>, what: string): Reader<readonly string[]> {
  return refine(reader, (values, node, reading) =>
    new Set(values).size === values.length ? values : reading.error(node, 'list.duplicate', `${what} is a set: each entry may occur once.`),
  );
}

/** Peers of rules from an API server that knows more fields than we do are kept and fail closed; from a person they are errors. */
function peer(tolerateUnknown: boolean, fields: Reader<Partial<Read<typeof egressPeerFields>>>, known: ReadonlySet<string>): Reader<PeerSpec> {
  return (node, reading) => {
    if (tolerateUnknown && node.kind === 'map' && ![...node.fields.keys()].some((name) => known.has(name))) {
      reading.warning(
        node,
        'field.unknown',
        'This peer has no field known here: an Accept rule with it matches nothing, a Deny or Pass rule denies everybody (it fails closed).',
      );
      return { kind: 'unknown' };
    }
    const value = fields(node, reading);
    if (value === undefined || !hasExactlyOne(value, 'A peer', [...known].join(', '), node, reading)) return undefined;
    if (value.nodes !== undefined) return { kind: 'nodes', nodes: value.nodes };
    if (value.networks !== undefined) return { kind: 'networks', networks: value.networks };
    if (value.domainNames !== undefined) return { kind: 'domainNames', names: value.domainNames };
    return { kind: 'pods', ...podsOf({ namespaces: value.namespaces, pods: value.pods }) };
  };
}
type Read<R> = R extends Reader<infer T> ? T : never;

const portNumber = integer('A port number', 1, 65_535);

const destinationPort = refine(
  object(
    { number: portNumber, range: object({ start: portNumber, end: portNumber }, { what: 'A port range', required: ['start', 'end'] }) },
    { what: 'A destinationPort' },
  ),
  ({ number, range }, node, reading) => {
    if (
      !hasExactlyOne(
        { ...(number === undefined ? {} : { number }), ...(range === undefined ? {} : { range }) },
        'A destinationPort',
        'number or range',
        node,
        reading,
      )
    )
      return undefined;
    if (range === undefined) return { first: number ?? 0, last: number ?? 0 };
    if (range.start >= range.end)
      return reading.error(fieldOrSelf(node, 'range'), 'port.invalid', `A range must start below its end, not ${range.start}–${range.end}.`);
    return { first: range.start, last: range.end };
  },
);

function transport(protocol: TransportProtocol): Reader<PortMatch> {
  return refine(object({ destinationPort }, { what: protocol.toLowerCase(), required: ['destinationPort'] }), ({ destinationPort: ports }) => ({
    kind: 'range',
    protocol,
    ...ports,
  }));
}

const protocolEntry: Reader<PortMatch> = refine(
  object(
    {
      tcp: transport('TCP'),
      udp: transport('UDP'),
      sctp: transport('SCTP'),
      destinationNamedPort: text('destinationNamedPort', { min: 1, max: 63 }),
    },
    { what: 'A protocols entry' },
  ),
  (value, node, reading) => {
    if (!hasExactlyOne(value, 'A protocols entry', 'tcp, udp, sctp or destinationNamedPort', node, reading)) return undefined;
    const name = value.destinationNamedPort;
    return name === undefined ? (value.tcp ?? value.udp ?? value.sctp) : { kind: 'named', name, protocols: ['TCP', 'UDP', 'SCTP'] };
  },
);

const ruleFields = {
  name: text('A rule name', { max: 100 }),
  action: oneOf('The action', ['Accept', 'Deny', 'Pass']),
  protocols: list(protocolEntry, { what: 'protocols', min: 1, max: MOST }),
};

interface EgressRule {
  readonly action: 'Accept' | 'Deny' | 'Pass';
  readonly to: readonly PeerSpec[];
  readonly protocols: readonly PortMatch[] | undefined;
}

function checkEgressRule(rule: EgressRule, node: SourceNode, reading: Reading): void {
  const kinds = new Set(rule.to.map(({ kind }) => kind));
  const named = rule.protocols?.some(({ kind }) => kind === 'named') === true;
  if (named && (kinds.has('networks') || kinds.has('nodes') || kinds.has('domainNames'))) {
    reading.error(
      fieldOrSelf(node, 'protocols'),
      'peer.combination',
      'Networks, nodes and domain names have no named ports: give the port by number, or name the peers by pods.',
    );
  }
  if (kinds.has('domainNames') && rule.action !== 'Accept') {
    reading.error(
      fieldOrSelf(node, 'to'),
      'peer.combination',
      'domainNames can only be accepted: an answer of DNS cannot be relied on to deny. Deny networks instead.',
    );
  }
}

/** The `spec`; `tolerateUnknownPeers` for objects that come from an API server (rule 29). */
export function clusterNetworkPolicySpec(tolerateUnknownPeers: boolean) {
  const ingressPeer = peer(tolerateUnknownPeers, ingressPeerFields, new Set(['namespaces', 'pods']));
  const egressPeer = peer(tolerateUnknownPeers, egressPeerFields, new Set(['namespaces', 'pods', 'nodes', 'networks', 'domainNames']));
  const ingressRule = object(
    { ...ruleFields, from: list(ingressPeer, { what: 'from', min: 1, max: MOST }) },
    { what: 'An ingress rule', required: ['action', 'from'], notHere: { ports: 'v1alpha2 calls it protocols.' } },
  );
  const egressFields = object(
    { ...ruleFields, to: list(egressPeer, { what: 'to', min: 1, max: MOST }) },
    { what: 'An egress rule', required: ['action', 'to'], notHere: { ports: 'v1alpha2 calls it protocols.' } },
  );
  const egressRule = checked(egressFields, checkEgressRule);
  return object(
    {
      tier: oneOf('The tier', ['Admin', 'Baseline']),
      priority: integer('The priority', 0, 1000),
      subject,
      ingress: list(ingressRule, { what: 'ingress', max: MOST }),
      egress: list(egressRule, { what: 'egress', max: MOST }),
    },
    { what: 'The spec of a ClusterNetworkPolicy', required: ['tier', 'priority', 'subject'] },
  );
}
