import { DomainError, type Fault } from '@palisade/errors';
import { createPolicySet, policyKey, type PolicyDocument, type PolicyMode } from '@palisade/policy';
import { scopeHasNamespace, type TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { PolicyRepositories, PolicyRevision } from './policy.ts';
import { policyDigest, policySetDigest } from './policy-digest.ts';

/** More than any cluster has; a bound for memory, not a plan limit. */
const POLICIES_PER_CLUSTER = 20_000;

/** Reads policy objects from text (in the rooms: `parsePolicies`). Errors and warnings both come as faults with their places. */
export type PolicyParser = (
  text: string,
  options: { readonly mode: PolicyMode; readonly revision: number },
) => { readonly policies: readonly PolicyDocument[]; readonly errors: readonly Fault[]; readonly warnings: readonly Fault[] };

export interface ApplyPoliciesInput {
  readonly clusterId: string;
  /** YAML or JSON, one or more documents. */
  readonly text: string;
  /** For documents that do not say; `enforce` when absent. */
  readonly mode?: PolicyMode;
  /** The cluster's policy revision the caller has seen; another one now is `resource.stale`. */
  readonly expectedRevision?: number;
  /** Checks everything and changes nothing. */
  readonly dryRun?: boolean;
}

export type PolicyChange = 'created' | 'updated' | 'unchanged';

export interface AppliedPolicies {
  /** The new revision; on a dry run the one it would be. */
  readonly revision: Omit<PolicyRevision, 'createdAt' | 'createdBy'>;
  readonly dryRun: boolean;
  readonly policies: readonly { readonly id?: string; readonly key: string; readonly change: PolicyChange; readonly document: PolicyDocument }[];
  readonly warnings: readonly Fault[];
}

/**
 * Applies policy objects to a cluster: all of them become one revision, or none is stored.
 * It does not roll out. Throws `policy.invalid` with every fault and its place, `auth.forbidden` for namespaces outside
 * the actor's scope, `resource.not-found`, `resource.stale`.
 */
export class ApplyPolicies {
  readonly #unitOfWork: UnitOfWork<PolicyRepositories>;
  readonly #parse: PolicyParser;

  constructor(ports: { readonly unitOfWork: UnitOfWork<PolicyRepositories>; readonly parse: PolicyParser }) {
    this.#unitOfWork = ports.unitOfWork;
    this.#parse = ports.parse;
  }

  async execute(context: TenantContext, input: ApplyPoliciesInput): Promise<AppliedPolicies> {
    // Parsed before the transaction, so that a large text never holds a lock.
    const mode = input.mode ?? 'enforce';
    const parsed = this.#parse(input.text, { mode, revision: 0 });
    await this.#unitOfWork.run(context, ({ clusters }) => reachCluster(context, clusters, input.clusterId));
    refuseFaults(parsed.errors, parsed.policies.length);
    requireScope(context, parsed.policies);
    return this.#unitOfWork.run(context, async (repositories) => this.#apply(context, input, parsed, repositories));
  }

  async #apply(context: TenantContext, input: ApplyPoliciesInput, parsed: ReturnType<PolicyParser>, { clusters, policies, audit, wakeUp }: PolicyRepositories): Promise<AppliedPolicies> {
    const cluster = await reachCluster(context, clusters, input.clusterId, 'update');
    if (input.expectedRevision !== undefined && input.expectedRevision !== cluster.policyRevision) {
      throw new DomainError('resource.stale', `The policies of ${cluster.name} are at revision ${cluster.policyRevision}, not ${input.expectedRevision}: read them again, then repeat the change.`);
    }
    const revision = cluster.policyRevision + 1;
    const before = await policies.documentsAt(cluster.id, cluster.policyRevision);
    const changes = compareWith(before, parsed.policies, revision);
    const after = mergePolicies(before, changes.map(({ document }) => document));
    const step = {
      revision,
      digest: policySetDigest(createPolicySet(after)),
      applied: parsed.policies.length,
      removed: 0,
    };
    if (input.dryRun === true) return { revision: step, dryRun: true, policies: changes, warnings: parsed.warnings };
    await policies.insertRevision({ ...step, clusterId: cluster.id, source: input.text, createdBy: context.actor.id });
    const stored = [];
    for (const change of changes) {
      stored.push(change.change === 'unchanged' ? change : { ...change, id: await policies.put(cluster.id, change.document, policyDigest(change.document)) });
    }
    await wakeUp.notify('policy', { cluster: cluster.id });
    await audit.append({
      action: 'policy.applied',
      target: { kind: 'cluster', id: cluster.id, name: cluster.name },
      summary: `Applied ${parsed.policies.length} policies to cluster ${cluster.name} as revision ${revision}: ${summarize(changes)}.`,
      beforeDigest: policySetDigest(createPolicySet(before)),
      afterDigest: step.digest,
      details: { revision },
    });
    return { revision: step, dryRun: false, policies: stored, warnings: parsed.warnings };
  }
}

function refuseFaults(errors: readonly Fault[], parsed: number): void {
  const [first] = errors;
  if (first !== undefined) {
    const place = first.line === undefined ? '' : `line ${first.line}: `;
    const more = errors.length === 1 ? '' : ` (and ${errors.length - 1} more)`;
    throw new DomainError('policy.invalid', `${place}${first.detail}${more}`, { ...(first.pointer === undefined ? {} : { pointer: first.pointer }), faults: errors });
  }
  if (parsed === 0) throw new DomainError('policy.invalid', 'The text holds no policy: send at least one object.');
}

function requireScope(context: TenantContext, documents: readonly PolicyDocument[]): void {
  const foreign = documents.find(({ namespace }) => !scopeHasNamespace(context.actor.scope, namespace));
  if (foreign === undefined) return;
  throw new DomainError('auth.forbidden', `${policyKey(foreign)} is outside the namespaces that this token may change.`);
}

function compareWith(before: readonly PolicyDocument[], applied: readonly PolicyDocument[], revision: number): { key: string; change: PolicyChange; document: PolicyDocument }[] {
  const known = new Map(before.map((document) => [policyKey(document), document]));
  return applied.map((policy) => {
    const key = policyKey(policy);
    const old = known.get(key);
    if (old !== undefined && policyDigest(old) === policyDigest(policy)) return { key, change: 'unchanged', document: old };
    return { key, change: old === undefined ? 'created' : 'updated', document: { ...policy, revision } };
  });
}

function mergePolicies(before: readonly PolicyDocument[], changed: readonly PolicyDocument[]): PolicyDocument[] {
  // Two objects of one name in one apply are found by createPolicySet: they must not overwrite each other here.
  const keys = new Set(changed.map(policyKey));
  const after = [...before.filter((document) => !keys.has(policyKey(document))), ...changed];
  if (after.length > POLICIES_PER_CLUSTER) {
    throw new DomainError('request.too-large', `A cluster holds at most ${POLICIES_PER_CLUSTER} policies; this would make ${after.length}.`);
  }
  return after;
}

function summarize(changes: readonly { change: PolicyChange }[]): string {
  const count = (kind: PolicyChange): number => changes.filter(({ change }) => change === kind).length;
  return `${count('created')} created, ${count('updated')} updated, ${count('unchanged')} unchanged`;
}
