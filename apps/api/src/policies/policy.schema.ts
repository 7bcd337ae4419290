import type { AppliedPolicies, Policy, PolicyApproval, PolicyRevision, PolicyVersion } from '@palisade/control';
import { policyKey } from '@palisade/policy';
import { z } from 'zod';
import { pageQuery, pageSchema } from '../paging/page.ts';

const mode = z.enum(['enforce', 'observe', 'shadow']);
export const policyKind = z.enum(['NetworkPolicy', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy', 'ClusterNetworkPolicy']);

/** 4 MiB, the limit of the parser. */
const MAX_TEXT = 4 * 1024 * 1024;

const applyBody = z.strictObject({ documents: z.string().max(MAX_TEXT), mode: mode.optional(), dryRun: z.boolean().optional() }).meta({ id: 'ApplyPolicies' });

/** JSON with the text in it, or (content type application/yaml) the text itself. */
export const applyBodySchema = z.union([applyBody, z.string().max(MAX_TEXT)]);

export const applyQuerySchema = z.strictObject({ mode: mode.optional(), dryRun: z.stringbool({ truthy: ['true'], falsy: ['false'] }).optional() });

export const policyListQuery = pageQuery.extend({ kind: policyKind.optional() });

const faultView = z.object({ code: z.string(), detail: z.string(), pointer: z.string().optional(), document: z.int().optional(), line: z.int().optional(), column: z.int().optional() }).meta({ id: 'PolicyWarning' });

export const appliedSchema = z
  .object({
    revision: z.int(),
    digest: z.string(),
    dryRun: z.boolean(),
    policies: z.array(
      z.object({
        id: z.string().optional(),
        kind: policyKind,
        namespace: z.string().optional(),
        name: z.string(),
        mode,
        change: z.enum(['created', 'updated', 'unchanged']),
        revision: z.int(),
      }),
    ),
    warnings: z.array(faultView),
  })
  .meta({ id: 'AppliedPolicies' });

export const policySchema = z
  .object({
    id: z.string(),
    kind: policyKind,
    namespace: z.string().optional(),
    name: z.string(),
    key: z.string(),
    mode,
    revision: z.int(),
    removedAtRevision: z.int().optional(),
    digest: z.string(),
    createdAt: z.string(),
  })
  .meta({ id: 'Policy' });

export const policyPageSchema = pageSchema('PolicyPage', policySchema);

const versionSchema = z
  .object({ revision: z.int(), endedAtRevision: z.int().optional(), mode, digest: z.string(), createdBy: z.string(), createdAt: z.string() })
  .meta({ id: 'PolicyVersion' });

export const policyDetailSchema = policySchema
  .extend({ document: z.record(z.string(), z.unknown()).describe('The selector-level intermediate representation'), versions: z.array(versionSchema) })
  .meta({ id: 'PolicyDetail' });

export const revisionSchema = z
  .object({ revision: z.int(), digest: z.string(), applied: z.int(), removed: z.int(), createdBy: z.string(), createdAt: z.string() })
  .meta({ id: 'PolicyRevision' });

export const revisionPageSchema = pageSchema('PolicyRevisionPage', revisionSchema);

export function appliedView({ revision, dryRun, policies, warnings }: AppliedPolicies) {
  return {
    revision: revision.revision,
    digest: revision.digest,
    dryRun,
    policies: policies.map(({ id, change, document }) => ({ id, change, kind: document.kind, namespace: document.namespace, name: document.name, mode: document.mode, revision: document.revision })),
    warnings,
  };
}

export function policyView(policy: Policy) {
  const { document: _, clusterId: __, ...shown } = policy;
  return { ...shown, key: policyKey(policy), createdAt: policy.createdAt.toISOString() };
}

export function policyDetailView({ policy, versions }: { readonly policy: Policy; readonly versions: readonly PolicyVersion[] }) {
  return { ...policyView(policy), document: policy.document, versions: versions.map((version) => ({ ...version, createdAt: version.createdAt.toISOString() })) };
}

export const approvalSchema = z.object({ revision: z.int(), approver: z.string(), approverName: z.string(), createdAt: z.string() }).meta({ id: 'PolicyApproval' });

export const revisionParam = z.coerce.number().int().min(1).max(2_147_483_647);

export function approvalView(approval: PolicyApproval) {
  return { ...approval, createdAt: approval.createdAt.toISOString() };
}

export function revisionView(revision: PolicyRevision) {
  return { ...revision, createdAt: revision.createdAt.toISOString() };
}
