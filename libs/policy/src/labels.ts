/** Labels with their sources, prepared for matching, and selectors compiled against them (rules 16, 32–34). */

import type { Labels } from './facts.ts';
import type { LabelRequirement, LabelSelector } from './ir.ts';

export const NAMESPACE_KEY = 'io.kubernetes.pod.namespace';
export const CLUSTER_KEY = 'io.cilium.k8s.policy.cluster';
export const SERVICE_ACCOUNT_KEY = 'io.cilium.k8s.policy.serviceaccount';
export const NAMESPACE_LABELS_PREFIX = 'io.cilium.k8s.namespace.labels.';

/** Sources that are only reached by their prefix, so that they never collide with Kubernetes labels. */
const PREFIX_ONLY_SOURCES: ReadonlySet<string> = new Set(['cloud', 'tag', 'host']);

/** What an identity of a pod must carry so that every selector finds it (rule 32). */
export interface WorkloadLabelParts {
  readonly clusterName: string;
  readonly namespace: string;
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  /** Pod labels without source, and labels of other sources with theirs. */
  readonly labels: Readonly<Record<string, string>>;
}

/** Builds the identity labels of a workload, sources included. */
export function workloadLabels(parts: WorkloadLabelParts): Labels {
  const labels: [string, string][] = Object.entries(parts.labels).map(([key, value]) => [withSource(key), value]);
  for (const [key, value] of Object.entries(parts.namespaceLabels)) labels.push([`k8s:${NAMESPACE_LABELS_PREFIX}${key}`, value]);
  labels.push([`k8s:${NAMESPACE_KEY}`, parts.namespace], [`k8s:${CLUSTER_KEY}`, parts.clusterName]);
  if (parts.serviceAccount !== undefined) labels.push([`k8s:${SERVICE_ACCOUNT_KEY}`, parts.serviceAccount]);
  return Object.fromEntries(labels);
}

/** `app` → `k8s:app`; a key that has a source keeps it. */
export function withSource(key: string): string {
  return key.includes(':') ? key : `k8s:${key}`;
}

/** Labels of one end, indexed with and without source. */
export class LabelView {
  /** Dense number given by the owner, for memo tables. */
  readonly ordinal: number;
  private readonly byKey = new Map<string, string>();
  /** Made when first asked for: most selectors name a source. */
  private byBareKey: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(labels: Labels, ordinal = 0) {
    this.ordinal = ordinal;
    for (const key of Object.keys(labels)) this.byKey.set(withSource(key), labels[key] ?? '');
  }

  get(keyWithSource: string): string | undefined {
    return this.byKey.get(keyWithSource);
  }

  /** True when some label of the requirement's key has one of `values`, or for undefined `values` any value. */
  has(key: string, values: ReadonlySet<string> | undefined): boolean {
    if (key.startsWith('any:')) {
      this.byBareKey ??= valuesByBareKey(this.byKey);
      const found = this.byBareKey.get(key.slice(4));
      return found !== undefined && (values === undefined || found.some((value) => values.has(value)));
    }
    const found = this.byKey.get(key);
    return found !== undefined && (values === undefined || values.has(found));
  }
}

function valuesByBareKey(labels: ReadonlyMap<string, string>): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const [key, value] of labels) {
    const colon = key.indexOf(':');
    if (PREFIX_ONLY_SOURCES.has(key.slice(0, colon))) continue;
    const bare = key.slice(colon + 1);
    const values = found.get(bare);
    if (values === undefined) found.set(bare, [value]);
    else values.push(value);
  }
  return found;
}

type Test = (labels: LabelView) => boolean;

/** Compiles the requirements; `localCluster` is the caller's to check, it needs to know what kind of end it has. */
export function compileRequirements(selector: LabelSelector): Test {
  const tests = selector.requirements.map(compileRequirement);
  if (tests.length === 1 && tests[0] !== undefined) return tests[0];
  return (labels) => tests.every((test) => test(labels));
}

function compileRequirement(requirement: LabelRequirement): Test {
  const key = withSource(requirement.key);
  const values = new Set(requirement.values);
  switch (requirement.operator) {
    case 'in':
      return (labels) => labels.has(key, values);
    case 'not-in':
      return (labels) => !labels.has(key, values);
    case 'exists':
      return (labels) => labels.has(key, undefined);
    case 'not-exists':
      return (labels) => !labels.has(key, undefined);
  }
}
