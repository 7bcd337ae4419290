/**
 * Seeded clusters and policies of a given size (issue: 60 namespaces, 4–8 labels per identity; 70 % namespaced allow rules,
 * 15 % CIDR, 10 % deny, 5 % cluster-wide with broad selectors). Equal seeds give equal clusters on every machine.
 */

import {
  createPolicySet,
  IR_VERSION,
  NAMESPACE_KEY,
  wantedRuleId,
  workloadLabels,
  type ClusterFacts,
  type IdentityFact,
  type LabelRequirement,
  type LabelSelector,
  type Peer,
  type PolicyBlock,
  type PolicyDocument,
  type PolicyRule,
  type PolicySet,
  type PortClause,
  type WorkloadFact,
} from '@palisade/policy';

const NAMESPACES = 60;
const VALUES = { app: 40, tier: 4, version: 6, team: 12, env: 3, component: 10, zone: 3, track: 2 } as const;
type Key = keyof typeof VALUES;
const KEYS = Object.keys(VALUES) as Key[];
const PORTS = [53, 80, 443, 3000, 5432, 6379, 8080, 8443, 9090, 9092];

export interface ClusterSize {
  readonly identities: number;
  readonly policies: number;
  readonly localEndpoints: number;
}

export class ClusterGenerator {
  readonly size: ClusterSize;
  private state: number;

  constructor(size: ClusterSize, seed: number) {
    this.size = size;
    this.state = seed >>> 0;
  }

  /** One workload per identity; those of the measured node are spread over the namespaces. */
  facts(nodeName: string): ClusterFacts {
    const identities: IdentityFact[] = [];
    const workloads: WorkloadFact[] = [];
    for (let i = 0; i < this.size.identities; i++) {
      const identity = this.identity(1000 + i);
      identities.push(identity);
      workloads.push({
        key: `pod/${namespaceOf(i)}/w${i}`,
        namespace: namespaceOf(i),
        name: `w${i}`,
        identity: identity.id,
        network: 'default',
        addresses: [`10.${64 + (i >>> 16)}.${(i >>> 8) & 255}.${i & 255}`],
        node: i < this.size.localEndpoints ? nodeName : `node-${i % 97}`,
      });
    }
    const nodes = [nodeName, ...Array.from({ length: 97 }, (_, i) => `node-${i}`)].map((name, i) => ({ name, labels: { zone: `z${i % 3}` }, addresses: [`172.16.0.${i + 1}`] }));
    return { clusterName: 'bench', identityRevision: 1, identities, workloads, nodes, services: [], cidrGroups: [], hostFirewall: false };
  }

  /** Labels drawn anew for an identity number: its namespace stays. */
  identity(id: number): IdentityFact {
    const namespace = namespaceOf(id - 1000);
    const count = this.below(5) + 4;
    const labels = Object.fromEntries(this.shuffled(KEYS).slice(0, count).map((key) => [key, this.valueOf(key)]));
    return { id, labels: workloadLabels({ clusterName: 'bench', namespace, namespaceLabels: { [`kubernetes.io/metadata.name`]: namespace }, labels }) };
  }

  policies(): PolicySet {
    return createPolicySet(Array.from({ length: this.size.policies }, (_, i) => this.policy(i)));
  }

  /** Content of policy `i` drawn anew: its name and its kind (by its number) stay. */
  policy(i: number): PolicyDocument {
    const share = (i * 37) % 100;
    const namespace = `ns-${i % NAMESPACES}`;
    if (share < 70) return this.namespaced(i, namespace, [this.rule('ingress', 'allow', [this.endpointsPeer(namespace)])]);
    if (share < 85) return this.namespaced(i, namespace, [this.rule('egress', 'allow', [this.cidrPeer(), this.cidrPeer()])]);
    if (share < 95) return this.namespaced(i, namespace, [this.rule('ingress', 'deny', [this.endpointsPeer(`ns-${this.below(NAMESPACES)}`)])]);
    return this.clusterWide(i);
  }

  /** Integer in 0..limit-1 (mulberry32). */
  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * limit);
  }

  private namespaced(i: number, namespace: string, rules: Omit<PolicyRule, 'id' | 'index'>[]): PolicyDocument {
    const subject: LabelSelector = { requirements: [inNamespace(namespace), this.labelIn(this.below(2) === 0 ? 'app' : 'tier')], localCluster: true };
    return this.document('CiliumNetworkPolicy', `p${i}`, namespace, subject, rules);
  }

  /** Broad on both sides: a label nearly everybody has. */
  private clusterWide(i: number): PolicyDocument {
    const hasNamespace: LabelRequirement = { key: `k8s:${NAMESPACE_KEY}`, operator: 'exists', values: [] };
    const subject: LabelSelector = { requirements: [hasNamespace, this.labelIn('env')], localCluster: true };
    const peer: Peer = { kind: 'endpoints', selector: { requirements: [hasNamespace, this.labelIn(this.below(2) === 0 ? 'tier' : 'env')], localCluster: true } };
    return this.document('CiliumClusterwideNetworkPolicy', `c${i}`, undefined, subject, [this.rule('ingress', 'allow', [peer])]);
  }

  private document(kind: PolicyDocument['kind'], name: string, namespace: string | undefined, selector: LabelSelector, drafts: Omit<PolicyRule, 'id' | 'index'>[]): PolicyDocument {
    const direction = drafts[0]?.section.startsWith('ingress') === false ? 'egress' : 'ingress';
    const key = namespace === undefined ? `${kind}:${name}` : `${kind}:${namespace}/${name}`;
    const rules = drafts.map((draft, index): PolicyRule => ({ ...draft, index, id: wantedRuleId(key, direction, draft, index) }));
    const block: PolicyBlock = { spec: 0, tier: 'normal', priority: 0, direction, subject: { kind: 'endpoints', selector }, isolates: true, rules };
    return { irVersion: IR_VERSION, kind, ...(namespace === undefined ? {} : { namespace }), name, revision: 1, mode: 'enforce', blocks: [block] };
  }

  private rule(direction: 'ingress' | 'egress', action: 'allow' | 'deny', peers: Peer[]): Omit<PolicyRule, 'id' | 'index'> {
    const section = action === 'deny' ? (`${direction}Deny` as const) : direction;
    return { section, action, peers, ports: [this.ports()] };
  }

  private ports(): PortClause {
    const first = PORTS[this.below(PORTS.length)] ?? 80;
    const last = this.below(8) === 0 ? first + 1 + this.below(500) : first;
    return { ports: [{ kind: 'range', protocol: this.below(6) === 0 ? 'UDP' : 'TCP', first, last }] };
  }

  private endpointsPeer(namespace: string): Peer {
    const peerNamespace = this.below(3) === 0 ? `ns-${this.below(NAMESPACES)}` : namespace;
    return { kind: 'endpoints', selector: { requirements: [inNamespace(peerNamespace), this.labelIn('app')], localCluster: true } };
  }

  private cidrPeer(): Peer {
    const length = [8, 16, 20, 24, 32][this.below(5)] ?? 24;
    const address = [100 + this.below(100), this.below(256), this.below(256), this.below(256)];
    const kept = address.map((octet, i) => octet & (0xff00 >> Math.max(0, Math.min(8, length - i * 8))) & 0xff);
    return { kind: 'cidr', cidr: `${kept.join('.')}/${length}`, except: [], matchesPods: false };
  }

  private labelIn(key: Key): LabelRequirement {
    return { key: `k8s:${key}`, operator: 'in', values: [...new Set([this.valueOf(key), this.valueOf(key)])] };
  }

  private valueOf(key: Key): string {
    return `${key}-${this.below(VALUES[key])}`;
  }

  private shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
    }
    return copy;
  }
}

function namespaceOf(i: number): string {
  return `ns-${i % NAMESPACES}`;
}

function inNamespace(namespace: string): LabelRequirement {
  return { key: `k8s:${NAMESPACE_KEY}`, operator: 'in', values: [namespace] };
}
