/** The kinds that can be read, one entry each: how an object of it becomes a policy. */

import { effortAtOnce, type CidrGroupFact, type PolicyDocument, type PolicyMode } from '@palisade/policy';
import { cidrGroup, cidrGroupSpec } from './cidr-group.ts';
import { compileCiliumSpec, requiresOf } from './cilium/compile.ts';
import type { Requires } from './cilium/legacy-requires.ts';
import { ciliumSpec } from './cilium/schema.ts';
import { checkSoftRules } from './cilium/soft-rules.ts';
import { compileClusterNetworkPolicy } from './cluster-network-policy/compile.ts';
import { clusterNetworkPolicySpec } from './cluster-network-policy/schema.ts';
import { metadata } from './kubernetes/metadata.ts';
import { compileNetworkPolicy } from './network-policy/compile.ts';
import { networkPolicySpec } from './network-policy/schema.ts';
import { annotatedModes, finishPolicy } from './policy-draft.ts';
import { anything, list, object, text } from './schema/readers.ts';
import type { Reader } from './schema/reading.ts';
import { fieldOrSelf } from './source/source-node.ts';

/** Settings of the caller that reach into compilation. */
export interface CompileOptions {
  /** Namespace of namespaced policies that name none. */
  readonly defaultNamespace: string;
  /** Mode of policies without the `palisade.io/mode` annotation. */
  readonly defaultMode: PolicyMode;
  readonly revision: number;
  /** The objects come from an API server: peers with fields that are unknown here fail closed instead of being refused (rule 29). */
  readonly fromApiServer: boolean;
  /** Accept `fromRequires` and `toRequires` (Cilium up to 1.18, rule 47). */
  readonly legacyRequires: boolean;
}

export type Compiled = { readonly policy: PolicyDocument; readonly requires?: readonly Requires[] } | { readonly cidrGroup: CidrGroupFact };

export interface PolicyKindEntry {
  readonly kind: string;
  readonly apiVersions: readonly string[];
  readonly reader: (options: CompileOptions) => Reader<Compiled>;
}

const envelope = { apiVersion: text('apiVersion'), kind: text('kind'), status: anything };

const networkPolicy = (options: CompileOptions): Reader<Compiled> => {
  const fields = object(
    { ...envelope, metadata: metadata('namespaced', options.defaultNamespace), spec: networkPolicySpec },
    { what: 'A NetworkPolicy', required: ['metadata', 'spec'] },
  );
  return (node, reading) => {
    const value = fields(node, reading);
    if (value === undefined) return undefined;
    const modes = annotatedModes(value.metadata, fieldOrSelf(node, 'metadata'), options.defaultMode, reading);
    if (modes === undefined) return undefined;
    const blocks = compileNetworkPolicy(value.metadata.namespace ?? options.defaultNamespace, value.spec);
    return { policy: finishPolicy({ kind: 'NetworkPolicy', ...value.metadata }, { mode: modes.mode, revision: options.revision }, blocks) };
  };
};

const clusterNetworkPolicy = (options: CompileOptions): Reader<Compiled> => {
  const fields = object(
    { ...envelope, metadata: metadata('cluster', ''), spec: clusterNetworkPolicySpec(options.fromApiServer) },
    { what: 'A ClusterNetworkPolicy', required: ['metadata', 'spec'] },
  );
  return (node, reading) => {
    const value = fields(node, reading);
    if (value === undefined) return undefined;
    const modes = annotatedModes(value.metadata, fieldOrSelf(node, 'metadata'), options.defaultMode, reading);
    if (modes === undefined) return undefined;
    return {
      policy: finishPolicy(
        { kind: 'ClusterNetworkPolicy', ...value.metadata },
        { mode: modes.mode, revision: options.revision },
        compileClusterNetworkPolicy(value.spec),
      ),
    };
  };
};

const ciliumPolicy =
  (kind: 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy') =>
  (options: CompileOptions): Reader<Compiled> => {
    const effort = effortAtOnce();
    const clusterwide = kind === 'CiliumClusterwideNetworkPolicy';
    const spec = ciliumSpec({ clusterwide, legacyRequires: options.legacyRequires });
    const fields = object(
      {
        ...envelope,
        metadata: metadata(clusterwide ? 'cluster' : 'namespaced', options.defaultNamespace),
        spec,
        specs: list(spec, { what: 'specs', min: 1, max: 1_000 }),
      },
      { what: `A ${kind}`, required: ['metadata'] },
    );
    return (node, reading) => {
      const value = fields(node, reading);
      if (value === undefined) return undefined;
      if (value.spec === undefined && value.specs === undefined) return reading.error(node, 'field.missing', `A ${kind} needs spec or specs.`);
      const modes = annotatedModes(value.metadata, fieldOrSelf(node, 'metadata'), options.defaultMode, reading);
      if (modes === undefined) return undefined;
      const specs = [...(value.spec === undefined ? [] : [value.spec]), ...(value.specs ?? [])];
      const blocks = checkSoftRules(specs.flatMap((one, i) => compileCiliumSpec(i, one, value.metadata.namespace, modes.l7)), node, effort, reading);
      if (blocks === undefined) return undefined;
      return {
        policy: finishPolicy({ kind, ...value.metadata }, { mode: modes.mode, revision: options.revision }, blocks),
        requires: specs.flatMap((one) => requiresOf(one, value.metadata.namespace)),
      };
    };
  };

const ciliumCidrGroup = (): Reader<Compiled> => {
  const fields = object(
    { ...envelope, metadata: metadata('cluster', ''), spec: cidrGroupSpec },
    { what: 'A CiliumCIDRGroup', required: ['metadata', 'spec'] },
  );
  return (node, reading) => {
    const value = fields(node, reading);
    return value === undefined ? undefined : { cidrGroup: cidrGroup(value.metadata, value.spec) };
  };
};

export const POLICY_KINDS: readonly PolicyKindEntry[] = [
  { kind: 'NetworkPolicy', apiVersions: ['networking.k8s.io/v1'], reader: networkPolicy },
  { kind: 'ClusterNetworkPolicy', apiVersions: ['policy.networking.k8s.io/v1alpha2'], reader: clusterNetworkPolicy },
  { kind: 'CiliumNetworkPolicy', apiVersions: ['cilium.io/v2'], reader: ciliumPolicy('CiliumNetworkPolicy') },
  { kind: 'CiliumClusterwideNetworkPolicy', apiVersions: ['cilium.io/v2'], reader: ciliumPolicy('CiliumClusterwideNetworkPolicy') },
  { kind: 'CiliumCIDRGroup', apiVersions: ['cilium.io/v2', 'cilium.io/v2alpha1'], reader: ciliumCidrGroup },
];

/** Kinds that look like policies but are not read, and what to do instead. */
export const KIND_ADVICE: ReadonlyMap<string, string> = new Map([
  ['AdminNetworkPolicy', 'ClusterNetworkPolicy replaces it: set tier: Admin, write Accept for Allow and protocols for ports.'],
  ['BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy replaces it: set tier: Baseline and a priority.'],
]);
