/** ObjectMeta: the fields every Kubernetes object may carry. Only name, namespace, labels and annotations matter here. */

import { anything, object, refine, text, textMap } from '../schema/readers.ts';
import { quoted, type Reader } from '../schema/reading.ts';
import { fieldOrSelf } from '../source/source-node.ts';
import { dnsLabelFault, dnsSubdomainFault } from './label-selector.ts';

export interface Metadata {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: ReadonlyMap<string, string>;
}

const fields = object(
  {
    name: text('The name', { min: 1, max: 253 }),
    namespace: text('The namespace', { max: 63 }),
    labels: textMap('labels'),
    // The API server's limit on all annotations of an object; kubectl keeps a whole copy of it in one.
    annotations: textMap('annotations', 262_144),
    generateName: anything,
    uid: anything,
    resourceVersion: anything,
    generation: anything,
    creationTimestamp: anything,
    deletionTimestamp: anything,
    deletionGracePeriodSeconds: anything,
    finalizers: anything,
    ownerReferences: anything,
    managedFields: anything,
    selfLink: anything,
  },
  { what: 'metadata', required: ['name'] },
);

/** Reads metadata; `scope` says whether the object lives in a namespace. */
export function metadata(scope: 'namespaced' | 'cluster', defaultNamespace: string): Reader<Metadata> {
  return refine(fields, (value, node, reading) => {
    const nameFault = dnsSubdomainFault(value.name);
    if (nameFault !== undefined)
      return reading.error(fieldOrSelf(node, 'name'), 'value.format', `${quoted(value.name)} cannot be a policy's name: ${nameFault}.`);
    const given = value.namespace === '' ? undefined : value.namespace;
    if (scope === 'cluster' && given !== undefined) {
      return reading.error(
        fieldOrSelf(node, 'namespace'),
        'policy.scope',
        'This kind applies to the whole cluster and has no namespace: remove metadata.namespace.',
      );
    }
    const namespaceFault = given === undefined ? undefined : dnsLabelFault(given);
    if (namespaceFault !== undefined)
      return reading.error(fieldOrSelf(node, 'namespace'), 'value.format', `${quoted(given ?? '')} cannot be a namespace: ${namespaceFault}.`);
    return {
      name: value.name,
      namespace: scope === 'cluster' ? undefined : (given ?? defaultNamespace),
      labels: Object.fromEntries(value.labels ?? []),
      annotations: new Map(value.annotations ?? []),
    };
  });
}
