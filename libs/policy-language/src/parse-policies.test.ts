import { describe, expect, test } from 'vitest';
import { parsePolicies, parsePolicyValues } from './parse-policies.ts';

const networkPolicy = (spec: string, metadata = '{name: p, namespace: shop}') =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: ${metadata}\nspec: ${spec}\n`;
const cilium = (spec: string, metadata = '{name: c, namespace: shop}') =>
  `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: ${metadata}\nspec: ${spec}\n`;
const codes = (text: string) => parsePolicies(text).problems.map(({ code, pointer }) => `${code} ${pointer}`);

describe('where problems are', () => {
  test('names document, line, column and pointer of the offending value', () => {
    const text = `${networkPolicy('{podSelector: {}}')}---\n${networkPolicy('\n  podSelector: {}\n  ingress:\n  - ports:\n    - port: 0', '{name: q}')}`;
    const { documents, problems } = parsePolicies(text);
    expect(documents.map(({ name }) => name)).toEqual(['p']);
    expect(problems).toEqual([
      expect.objectContaining({ severity: 'error', document: 1, line: 13, column: 13, pointer: '/spec/ingress/0/ports/0/port', code: 'value.range' }),
    ]);
  });

  test('points into a List with the pointer of the item', () => {
    const items = [
      { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' }, spec: { podSelector: {} } },
      { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'b' }, spec: { podSelector: {}, egres: [] } },
    ];
    const { documents, problems } = parsePolicies(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    expect(documents.map(({ name }) => name)).toEqual(['a']);
    expect(problems.map(({ pointer, code }) => [pointer, code])).toEqual([['/items/1/spec/egres', 'field.unknown']]);
  });

  test('escapes pointers as RFC 6901 demands', () => {
    expect(codes(networkPolicy('{podSelector: {matchLabels: {"a/b~c": "x"}}}'))).toEqual(['selector.invalid /spec/podSelector/matchLabels/a~1b~0c']);
  });

  test('reports every fault of an object at once', () => {
    expect(codes(networkPolicy('{podSelector: {}, ingress: [{from: [{}], ports: [{port: 0}]}], policyTypes: [In]}'))).toHaveLength(3);
  });

  test('suggests the field that was meant', () => {
    expect(parsePolicies(networkPolicy('{podSelecto: {}}')).problems[0]?.message).toContain('Did you mean "podSelector"?');
  });

  test('advises what to write instead of a kind that was replaced', () => {
    expect(parsePolicies('{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy}').problems[0]?.message).toContain('tier: Admin');
  });
});

describe('what documents may look like', () => {
  test('reads several documents, skipping empty ones', () => {
    const { documents, problems } = parsePolicies(
      `---\n---\n${networkPolicy('{podSelector: {}}')}---\n# nothing\n---\n${cilium('{endpointSelector: {}, ingress: [{}]}')}`,
    );
    expect(problems).toEqual([]);
    expect(documents.map(({ kind }) => kind)).toEqual(['NetworkPolicy', 'CiliumNetworkPolicy']);
  });

  test('reads a bare JSON object and the same value without text alike', () => {
    const value = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' }, spec: { podSelector: {}, ingress: [{}] } };
    expect(parsePolicies(JSON.stringify(value)).documents).toEqual(parsePolicyValues([value]).documents);
  });

  test('reads lists from an API server, whose items leave their kind out', () => {
    const items = [{ metadata: { name: 'a' }, spec: { podSelector: {} } }];
    const { documents, problems } = parsePolicies(
      JSON.stringify({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicyList', metadata: { resourceVersion: '1' }, items }),
    );
    expect(problems).toEqual([]);
    expect(documents.map(({ name }) => name)).toEqual(['a']);
  });

  test('refuses the same policy twice in one input', () => {
    const text = networkPolicy('{podSelector: {}}');
    expect(codes(`${text}---\n${text}`)).toEqual(['policy.duplicate ']);
  });

  test('refuses duplicate fields', () => {
    expect(codes(networkPolicy('{podSelector: {}, podSelector: {}}'))).toEqual(['yaml.duplicate-key ']);
  });

  test('refuses numbers whose notation YAML readers disagree on', () => {
    expect(codes(networkPolicy('{podSelector: {}, ingress: [{ports: [{port: 0o17}]}]}'))).toEqual(['value.format /spec/ingress/0/ports/0/port']);
    expect(codes(networkPolicy('{podSelector: {}, ingress: [{ports: [{port: 1e2}]}]}'))).toEqual(['value.format /spec/ingress/0/ports/0/port']);
  });

  test('collects CIDR groups beside policies', () => {
    const { cidrGroups, problems } = parsePolicies(
      '{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: g, labels: {a: b}}, spec: {externalCIDRs: [10.0.0.9/8]}}',
    );
    expect(problems).toEqual([]);
    expect(cidrGroups).toEqual([{ name: 'g', labels: { a: 'b' }, cidrs: ['10.0.0.0/8'] }]);
  });

  test('expands aliases, but not circular ones', () => {
    const shared = networkPolicy('{podSelector: &s {matchLabels: {a: b}}, ingress: [{from: [{podSelector: *s}]}]}');
    expect(parsePolicies(shared).problems).toEqual([]);
    expect(codes(networkPolicy('&s {podSelector: *s}'))).toEqual(['yaml.alias ']);
  });
});

describe('nil and empty', () => {
  const peersOf = (rule: string) => parsePolicies(cilium(`{endpointSelector: {}, ingress: [${rule}]}`)).documents[0]?.blocks[0]?.rules[0]?.peers;

  test('are told apart by the IR itself, so that JSON cannot confuse them', () => {
    expect(peersOf('{fromEndpoints: []}')).toEqual([]);
    expect(peersOf('{}')).toEqual([]);
    expect(peersOf('{toPorts: [{ports: [{port: "80"}]}]}')).toEqual([{ kind: 'any' }]);
    expect(peersOf('{fromEndpoints: [{}]}')).toHaveLength(1);
    expect(peersOf('{fromEndpoints: null, toPorts: [{ports: [{port: "80"}]}]}')).toEqual([{ kind: 'any' }]);
  });

  test('a list that was left empty in YAML is warned about, because its absence widens the rule', () => {
    const { documents, problems } = parsePolicies(
      'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {}\n  ingress:\n  - from:\n    ports: [{port: 80}]\n',
    );
    expect(documents).toHaveLength(1);
    expect(problems).toEqual([expect.objectContaining({ severity: 'warning', code: 'field.null', pointer: '/spec/ingress/0/from' })]);
  });

  test('keep their meaning through JSON', () => {
    const { documents } = parsePolicies(
      cilium('{endpointSelector: {}, ingress: [{fromEndpoints: []}, {}, {fromEndpoints: [{}], toPorts: []}, {toPorts: [{}]}]}'),
    );
    expect(JSON.parse(JSON.stringify(documents))).toEqual(documents);
  });
});

describe('settings', () => {
  test('the mode annotation wins over the default, and unknown modes are refused', () => {
    const withMode = (mode: string) => networkPolicy('{podSelector: {}}', `{name: p, annotations: {palisade.io/mode: ${mode}}}`);
    expect(parsePolicies(withMode('observe'), { defaultMode: 'shadow' }).documents[0]?.mode).toBe('observe');
    expect(parsePolicies(networkPolicy('{podSelector: {}}'), { defaultMode: 'shadow' }).documents[0]?.mode).toBe('shadow');
    expect(codes(withMode('off'))).toEqual(['value.enum /metadata']);
  });

  test('content rules are hard unless the policy asks for soft ones', () => {
    const spec = '{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]}';
    const modeOf = (text: string) => parsePolicies(text).documents[0]?.blocks[0]?.rules[0]?.ports[0]?.l7;
    expect(modeOf(cilium(spec))).toMatchObject({ mode: 'hard' });
    expect(modeOf(cilium(spec, '{name: c, annotations: {palisade.io/l7-mode: hard}}'))).toMatchObject({ mode: 'hard' });
    expect(modeOf(cilium(spec, '{name: c, annotations: {palisade.io/l7-mode: soft}}'))).toMatchObject({ mode: 'soft' });
    expect(codes(cilium(spec, '{name: c, annotations: {palisade.io/l7-mode: loose}}'))).toEqual(['value.enum /metadata']);
  });

  test('soft rules that make too large tables are refused, hard ones are not', () => {
    const spec = '{endpointSelector: {}, ingress: [{}, {toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: "/(a|b)*a(a|b){20}"}]}}]}]}';
    const policy = (mode: string) => cilium(spec, `{name: c, annotations: {palisade.io/l7-mode: ${mode}}}`);
    expect(codes(policy('hard'))).toEqual([]);
    expect(codes(policy('soft'))).toEqual(['l7.invalid /spec']);
    expect(parsePolicies(policy('soft')).problems[0]?.message).toContain('ingress[1].toPorts[0]');
  });

  test('soft rules are refused where all that was sent together takes too long to compile; fewer of them are not', () => {
    const paths = Array.from({ length: 20 }, (_, index) => `{path: "/api/v[0-9]+/things-${index}/[^/]+"}`);
    const spec = `{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [${paths.join()}]}}]}]}`;
    const policies = (count: number): string => Array.from({ length: count }, (_, index) => cilium(spec, `{name: c${index}, annotations: {palisade.io/l7-mode: soft}}`)).join('\n---\n');
    expect(codes(policies(5))).toEqual([]);
    const { documents, problems } = parsePolicies(policies(50));
    expect(documents.length).toBeGreaterThan(10);
    expect(problems.length).toBe(50 - documents.length);
    expect(problems[0]?.message).toContain('send them in several parts');
  });

  test('namespace, revision and log value arrive in the IR', () => {
    const { documents } = parsePolicies(cilium('{endpointSelector: {}, ingress: [{}], log: {value: note}}', '{name: c}'), {
      defaultNamespace: 'team',
      revision: 7,
    });
    expect(documents[0]).toMatchObject({ namespace: 'team', revision: 7, irVersion: 1 });
    expect(documents[0]?.blocks[0]?.rules[0]?.log).toBe('note');
  });

  test('what is valid but cannot be enforced is accepted with a warning', () => {
    const { documents, problems } = parsePolicies(
      cilium('{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [a.example]}]}]}'),
    );
    expect(documents).toHaveLength(1);
    expect(problems).toEqual([expect.objectContaining({ severity: 'warning', code: 'feature.not-enforced' })]);
  });

  test('peers of a newer API are refused from people and fail closed from API servers', () => {
    const text =
      '{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: k}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Pass, from: [{moon: full}]}]}}';
    expect(parsePolicies(text).documents).toEqual([]);
    expect(parsePolicies(text, { fromApiServer: true }).documents[0]?.blocks[0]?.rules[0]).toMatchObject({
      action: 'deny',
      peers: [{ kind: 'any' }],
    });
  });
});

describe('rule ids', () => {
  const idsOf = (text: string) => parsePolicies(text).documents.map(({ blocks }) => blocks.flatMap(({ rules }) => rules.map(({ id }) => id)));
  const two = (port: number) =>
    networkPolicy(`{podSelector: {}, ingress: [{ports: [{port: ${port}}]}, {ports: [{port: 443}]}, {ports: [{port: 443}]}]}`);

  test('are positive, distinct even for equal rules, and the same on every run', () => {
    const ids = idsOf(two(80))[0] ?? [];
    expect(new Set(ids).size).toBe(3);
    expect(ids.every((id) => Number.isInteger(id) && id > 0 && id <= 0xffffffff)).toBe(true);
    expect(idsOf(two(80))).toEqual([ids]);
  });

  test('survive a change of another rule of the policy', () => {
    const before = idsOf(two(80))[0] ?? [];
    const after = idsOf(two(81))[0] ?? [];
    expect(after[0]).not.toBe(before[0]);
    expect(after.slice(1)).toEqual(before.slice(1));
  });
});
