/** Selectors of pods and namespaces to selectors over identity labels (rules 10, 14, 24, 25). */

import { NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX, type LabelRequirement, type LabelSelector } from '@palisade/policy';

const NAMESPACE = `k8s:${NAMESPACE_KEY}`;

/** Being in some namespace tells pods from nodes and outside addresses, whatever else a selector asks. */
const inSomeNamespace: LabelRequirement = { key: NAMESPACE, operator: 'exists', values: [] };

export function inNamespace(namespace: string): LabelRequirement {
  return { key: NAMESPACE, operator: 'in', values: [namespace] };
}

/** Pods matching `pods` in namespaces matching `namespaces`, or in the one namespace named. */
export function podsIn(namespaces: readonly LabelRequirement[] | string, pods: readonly LabelRequirement[]): LabelSelector {
  const where = typeof namespaces === 'string' ? [inNamespace(namespaces)] : [inSomeNamespace, ...namespaces.map(onNamespaceLabel)];
  return { requirements: [...where, ...pods], localCluster: true };
}

/** `k8s:team` of a namespace is `k8s:io.cilium.k8s.namespace.labels.team` of its pods (rule 32). */
function onNamespaceLabel(requirement: LabelRequirement): LabelRequirement {
  return { ...requirement, key: `k8s:${NAMESPACE_LABELS_PREFIX}${requirement.key.slice('k8s:'.length)}` };
}
