/** Labels worth selecting by: those that people give, not those that controllers change with every rollout. */

import type { Labels } from '../facts.ts';

/** Hashes and ordinals that controllers set (Kubernetes well-known labels). */
const VOLATILE = new Set([
  'pod-template-hash',
  'controller-revision-hash',
  'pod-template-generation',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/job-completion-index',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
  'controller-uid',
  'job-name',
]);
/** Where one of these is present it names the workload, and other labels add nothing but risk. */
const NAMING = [['k8s:app.kubernetes.io/name', 'k8s:app.kubernetes.io/instance'], ['k8s:app.kubernetes.io/name'], ['k8s:app'], ['k8s:k8s-app'], ['k8s:name']];

/** Labels to select the workload and its like by, keys with their source, sorted. */
export function subjectOf(labels: Labels): Readonly<Record<string, string>> {
  const naming = NAMING.find((keys) => keys.every((key) => labels[key] !== undefined));
  const keys = naming ?? Object.keys(labels).filter(isOwn).sort();
  return Object.fromEntries(keys.map((key) => [key, labels[key] ?? '']));
}

function isOwn(key: string): boolean {
  if (!key.startsWith('k8s:')) return false;
  const bare = key.slice('k8s:'.length);
  return !bare.startsWith('io.cilium.') && !bare.startsWith('io.kubernetes.') && !VOLATILE.has(bare);
}
