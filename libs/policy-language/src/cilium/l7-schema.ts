/** `toPorts` with content rules: HTTP, DNS, TLS server names, listeners (rules 50, 53). */

import { compileWholeMatch, type FqdnSelector, type HttpMatch } from '@palisade/policy';
import { anything, checked, integer, list, object, oneOf, refine, text } from '../schema/readers.ts';
import { quoted, type Reader, type Reading } from '../schema/reading.ts';
import { fieldOrSelf, type SourceNode } from '../source/source-node.ts';
import { fqdnSelector } from './fqdn-schema.ts';
import { ports, type PortSpec } from './ports-schema.ts';

/** Longer expressions compile to automata no verdict should wait for. */
const LONGEST_EXPRESSION = 1_024;

/** An RE2 expression over the whole value. */
function expression(what: string): Reader<string> {
  return refine(text(what, { max: LONGEST_EXPRESSION }), (value, node, reading) => {
    try {
      compileWholeMatch(value);
      return value;
    } catch (error) {
      return reading.error(
        node,
        'l7.invalid',
        `${what} ${quoted(value)} is no RE2 regular expression: ${error instanceof Error ? error.message.slice(0, 200) : 'it cannot be compiled'}.`,
      );
    }
  });
}

type HeaderMatch = NonNullable<HttpMatch['headers']>[number];

/** `X-Key: value` matches exactly, `X-Key` asks for presence; the first space separates (as Cilium reads it). */
const header: Reader<HeaderMatch> = refine(text('A header', { min: 1, max: 4_096 }), (value) => {
  const space = value.indexOf(' ');
  return space < 0 ? { name: value } : { name: value.slice(0, space).replace(/:+$/, ''), value: value.slice(space + 1) };
});

const secret = object(
  { name: text('The secret name', { min: 1 }), namespace: text('The secret namespace') },
  { what: 'A secret', required: ['name'] },
);

const headerMatch: Reader<HeaderMatch> = refine(
  object(
    {
      name: text('The header name', { min: 1 }),
      value: text('The header value'),
      mismatch: oneOf('mismatch', ['LOG', 'ADD', 'DELETE', 'REPLACE']),
      secret,
    },
    { what: 'A header match', required: ['name'] },
  ),
  ({ name, value, mismatch, secret: from }, node, reading) => {
    if (from !== undefined)
      reading.warning(
        fieldOrSelf(node, 'secret'),
        'feature.not-enforced',
        'Header values from Kubernetes secrets are not read: the match uses "value" or, without one, fails.',
      );
    // Without the secret's value nothing can equal it: a value that no header line can hold fails closed.
    const wanted = value ?? (from === undefined ? undefined : '\u0000');
    return { name, ...(wanted === undefined ? {} : { value: wanted }), ...(mismatch === undefined ? {} : { mismatch }) };
  },
);

const http: Reader<HttpMatch> = refine(
  object(
    {
      method: expression('The method'),
      path: expression('The path'),
      host: expression('The host'),
      headers: list(header, { what: 'headers' }),
      headerMatches: list(headerMatch, { what: 'headerMatches' }),
    },
    { what: 'An HTTP rule' },
  ),
  ({ method, path, host, headers = [], headerMatches = [] }) => {
    const all = [...headers, ...headerMatches];
    return {
      ...(method === undefined || method === '' ? {} : { method }),
      ...(path === undefined || path === '' ? {} : { path }),
      ...(host === undefined || host === '' ? {} : { host }),
      ...(all.length === 0 ? {} : { headers: all }),
    };
  },
);

export interface L7Rules {
  readonly http: readonly HttpMatch[] | undefined;
  readonly dns: readonly FqdnSelector[] | undefined;
}

const removed = 'Cilium removed it in 1.20; use http or dns.';
const rules: Reader<L7Rules> = refine(
  object(
    { http: list(http, { what: 'http' }), dns: list(fqdnSelector('A DNS rule'), { what: 'dns' }) },
    { what: 'rules', notHere: { kafka: removed, l7: removed, l7proto: removed } },
  ),
  (value, node, reading) => {
    if (value.http !== undefined && value.dns !== undefined)
      return reading.error(node, 'l7.invalid', 'One port rule can look at one protocol: write http and dns rules in separate toPorts entries.');
    if (value.http === undefined && value.dns === undefined)
      return reading.error(node, 'l7.invalid', 'rules must hold http or dns; leave rules out to not look at content.');
    return { http: value.http, dns: value.dns };
  },
);

const tls = object({ secret, trustedCA: anything, certificate: anything, privateKey: anything }, { what: 'A TLS context', required: ['secret'] });

const listener = object(
  {
    name: text('The listener name', { min: 1 }),
    priority: integer('The listener priority', 1, 100),
    envoyConfig: object(
      { kind: oneOf('The kind', ['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig']), name: text('The name', { min: 1 }) },
      { what: 'envoyConfig', required: ['name'] },
    ),
  },
  { what: 'A listener', required: ['name', 'envoyConfig'] },
);

const serverName: Reader<string> = refine(text('A server name', { min: 1, max: 255 }), (value, node, reading) =>
  /^[-a-zA-Z0-9_.*]+$/.test(value)
    ? value
    : reading.error(node, 'fqdn.invalid', `${quoted(value)} is no TLS server name: write a DNS name, with * for wildcards.`),
);

const fields = object(
  { ports, rules, serverNames: list(serverName, { what: 'serverNames' }), terminatingTLS: tls, originatingTLS: tls, listener },
  { what: 'A toPorts entry' },
);

export interface PortRuleSpec {
  readonly ports: readonly PortSpec[] | undefined;
  readonly rules: L7Rules | undefined;
  /** Named where it asks for something that is valid but cannot be enforced here. */
  readonly unsupported: string | undefined;
}

type Fields = NonNullable<ReturnType<typeof fields>>;

/** One entry of `toPorts` of an allow rule. */
export function portRule(direction: 'ingress' | 'egress'): Reader<PortRuleSpec> {
  return refine(
    checked(fields, checkL7Ports, (value, node, reading) => checkDirection(value, direction, node, reading)),
    (value, node, reading) => {
      const unsupported = unsupportedIn(value);
      if (unsupported !== undefined) {
        reading.warning(
          fieldOrSelf(node, unsupported),
          'feature.not-enforced',
          `"${unsupported}" cannot be enforced here: connections that only this entry allows are refused once their content would have to be judged.`,
        );
      }
      return { ports: value.ports, rules: value.rules, unsupported };
    },
  );
}

function unsupportedIn(value: Fields): string | undefined {
  if (value.serverNames !== undefined && value.serverNames.length > 0) return 'serverNames';
  return (['terminatingTLS', 'originatingTLS', 'listener'] as const).find((name) => value[name] !== undefined);
}

function checkDirection({ rules: content, listener: to }: Fields, direction: 'ingress' | 'egress', node: SourceNode, reading: Reading): void {
  if (direction === 'egress') return;
  if ((content?.dns?.length ?? 0) > 0)
    reading.error(fieldOrSelf(node, 'rules'), 'l7.invalid', 'DNS rules work on egress only: they judge the questions a pod asks.');
  if (to !== undefined) reading.error(fieldOrSelf(node, 'listener'), 'l7.invalid', 'A listener can only be named on egress.');
}

/** Rule 53. */
function checkL7Ports(
  { ports: given = [], rules: content, serverNames = [], terminatingTLS, listener: to }: Fields,
  node: SourceNode,
  reading: Reading,
): void {
  if (content === undefined) return;
  const at = fieldOrSelf(node, 'rules');
  const dns = (content.dns?.length ?? 0) > 0;
  if (to !== undefined) reading.error(at, 'l7.invalid', 'A listener and content rules exclude each other.');
  if (serverNames.length > 0 && terminatingTLS === undefined)
    reading.error(at, 'l7.invalid', 'serverNames and content rules together need terminatingTLS: content inside TLS cannot be seen.');
  if (content.dns !== undefined && given.length === 0) reading.error(at, 'l7.invalid', 'DNS rules need the ports they apply to, usually 53.');
  for (const { protocol, isZero, isRange } of given) {
    if (isZero) reading.error(at, 'l7.invalid', 'Content rules need a port: they cannot apply to port 0, which means every port.');
    else if (dns && isRange) reading.error(at, 'l7.invalid', 'DNS rules cannot apply to a range of ports: name the port.');
    else if (!dns && protocol !== 'TCP')
      reading.error(at, 'l7.invalid', `HTTP rules need "protocol: TCP", not ${protocol}${protocol === 'ANY' ? ' (the default)' : ''}.`);
  }
}
