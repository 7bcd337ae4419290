/**
 * The IR from JSON that came out of a database, a bundle or a wire: checked completely, so that nothing behind it can fail
 * on its shape. Fields come out in one fixed order, whatever order they had.
 */

import { compileWholeMatch } from '../http-match.ts';
import { parsePrefix } from '../ip-address.ts';
import { IR_VERSION, type L7Clause, type LabelSelector, type Peer, type PolicyDocument, type PolicyRule, type PortMatch } from '../ir.ts';
import { createPolicySet, type PolicySet } from '../policy-set.ts';
import type { FqdnSelector } from '../resolution.ts';
import { flag, integer, listOf, optional, record, refuse, text, variant, word, type Decode } from './decoding.ts';

const cidr: Decode<string> = (value, pointer) => {
  const given = text(value, pointer);
  return parsePrefix(given) === undefined ? refuse(pointer, 'a CIDR is needed') : given;
};

const expression: Decode<string> = (value, pointer) => {
  const given = text(value, pointer);
  try {
    compileWholeMatch(given);
    return given;
  } catch {
    return refuse(pointer, 'an RE2 expression is needed');
  }
};

const selector: Decode<LabelSelector> = record({
  requirements: listOf(record({ key: text, operator: word('in', 'not-in', 'exists', 'not-exists'), values: listOf(text) })),
  localCluster: flag,
});

const fqdn: Decode<FqdnSelector> = record({ kind: word('name', 'pattern'), value: text });

const entity = word(
  'all',
  'world',
  'world-ipv4',
  'world-ipv6',
  'cluster',
  'host',
  'remote-node',
  'kube-apiserver',
  'health',
  'init',
  'unmanaged',
  'ingress',
  'none',
);

const peer: Decode<Peer> = variant({
  any: record({ kind: word('any') }),
  endpoints: record({ kind: word('endpoints'), selector }),
  entity: record({ kind: word('entity'), entity }),
  cidr: record({ kind: word('cidr'), cidr, except: listOf(cidr), matchesPods: flag }),
  'cidr-group': record({ kind: word('cidr-group'), name: text, except: listOf(cidr) }),
  'cidr-group-selector': record({ kind: word('cidr-group-selector'), selector, except: listOf(cidr) }),
  fqdn: record({ kind: word('fqdn'), name: fqdn }),
  service: record({ kind: word('service'), namespace: optional(text), name: text }),
  'service-selector': record({ kind: word('service-selector'), namespace: optional(text), selector }),
  nodes: record({ kind: word('nodes'), selector, scope: word('remote', 'all') }),
});

const transport = word('TCP', 'UDP', 'SCTP');
const portNumber = integer(0, 65_535);

const port: Decode<PortMatch> = variant({
  any: record({ kind: word('any') }),
  range: record({ kind: word('range'), protocol: transport, first: portNumber, last: portNumber }),
  named: record({ kind: word('named'), name: text, protocols: listOf(transport) }),
  icmp: record({ kind: word('icmp'), protocol: word('ICMP', 'ICMPv6'), type: integer(0, 255) }),
  protocol: record({ kind: word('protocol'), number: integer(0, 255) }),
});

const mode = word('hard', 'soft');
const header = record({ name: text, value: optional(text), mismatch: optional(word('LOG', 'ADD', 'DELETE', 'REPLACE')) });
const http = record({ method: optional(expression), path: optional(expression), host: optional(expression), headers: optional(listOf(header)) });

const l7: Decode<L7Clause> = variant({
  http: record({ kind: word('http'), mode, rules: listOf(http) }),
  dns: record({ kind: word('dns'), mode, names: listOf(fqdn) }),
  unsupported: record({ kind: word('unsupported'), feature: text }),
});

const rule: Decode<PolicyRule> = record({
  id: integer(1, 0xffffffff),
  index: integer(0, 1_000_000),
  section: word('ingress', 'ingressDeny', 'egress', 'egressDeny'),
  action: word('allow', 'deny', 'pass'),
  peers: listOf(peer),
  ports: listOf(record({ ports: listOf(port), l7: optional(l7) })),
  name: optional(text),
  log: optional(text),
});

const policy: Decode<PolicyDocument> = record({
  irVersion: word(IR_VERSION),
  kind: word('NetworkPolicy', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', 'ClusterNetworkPolicy'),
  namespace: optional(text),
  name: text,
  revision: integer(0, Number.MAX_SAFE_INTEGER),
  mode: word('observe', 'shadow', 'enforce'),
  blocks: listOf(
    record({
      spec: integer(0, 1_000_000),
      tier: word('admin', 'normal', 'baseline'),
      priority: integer(0, 1_000),
      direction: word('ingress', 'egress'),
      subject: record({ kind: word('endpoints', 'nodes'), selector }),
      isolates: flag,
      rules: listOf(rule),
    }),
  ),
});

const policySet = record({ irVersion: word(IR_VERSION), policies: listOf(policy) });

/** Reads one policy. Throws `request.invalid` with the pointer of what is wrong. */
export function decodePolicyDocument(value: unknown): PolicyDocument {
  return policy(value, '');
}

/** Reads a set and orders it anew. Throws `request.invalid` as above and for duplicates. */
export function decodePolicySet(value: unknown): PolicySet {
  return createPolicySet(policySet(value, '').policies);
}
