import { DomainError } from '@palisade/errors';
import { DEFAULT_FLOW_PRIVACY, type FlowPrivacy } from '@palisade/flow';
import type { TenantContext, TenantId } from '@palisade/tenancy';
import type { AuditLog } from '../audit/audit-log.ts';
import type { UnitOfWork } from '../unit-of-work.ts';

/** Version 0: nobody has decided anything yet. */
export interface FlowPrivacySetting extends FlowPrivacy {
  readonly version: number;
}

export interface FlowPrivacyRepository {
  find(): Promise<FlowPrivacySetting | undefined>;
  /** @returns the new version; undefined when the version in the store is another by now */
  save(privacy: FlowPrivacy, versionBefore: number): Promise<number | undefined>;
}

export interface FlowPrivacyRepositories {
  readonly flowPrivacy: FlowPrivacyRepository;
  readonly audit: AuditLog;
}

/** What ingest asks before it stores anything of a tenant. */
export interface FlowPrivacySource {
  of(tenantId: TenantId): Promise<FlowPrivacy>;
}

/** What of the traffic is stored. Holds for flows that arrive within seconds of a change, not for those stored before. */
export class ManageFlowPrivacy {
  readonly #unitOfWork: UnitOfWork<FlowPrivacyRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<FlowPrivacyRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  read(context: TenantContext): Promise<FlowPrivacySetting> {
    return this.#unitOfWork.run(context, async ({ flowPrivacy }) => (await flowPrivacy.find()) ?? { ...DEFAULT_FLOW_PRIVACY, version: 0 });
  }

  /** @throws DomainError `resource.stale`; `auth.forbidden` for an actor that is bound to a part of the tenant */
  change(context: TenantContext, privacy: FlowPrivacy, expectedVersion?: number): Promise<FlowPrivacySetting> {
    const { clusters, namespaces } = context.actor.scope;
    if (clusters !== 'all' || namespaces !== 'all') throw new DomainError('auth.forbidden', 'What is stored is set for the whole tenant: it takes a token that is bound to no clusters or namespaces.');
    return this.#unitOfWork.run(context, async ({ flowPrivacy, audit }) => {
      const before = (await flowPrivacy.find()) ?? { ...DEFAULT_FLOW_PRIVACY, version: 0 };
      const version = expectedVersion !== undefined && expectedVersion !== before.version ? undefined : await flowPrivacy.save(privacy, before.version);
      if (version === undefined) throw new DomainError('resource.stale', `The setting has changed since it was read (it is at version ${before.version}): read it again, then repeat the change.`);
      const told = (kept: boolean): string => (kept ? 'kept' : 'redacted');
      await audit.append({
        action: 'flow-privacy.updated',
        target: { kind: 'tenant', id: context.tenantId },
        summary: `From now on query strings are ${told(privacy.keepQueryStrings)} and process arguments are ${told(privacy.keepProcessArguments)}.`,
        details: {
          queryStringsBefore: before.keepQueryStrings, queryStringsAfter: privacy.keepQueryStrings, processArgumentsBefore: before.keepProcessArguments, processArgumentsAfter: privacy.keepProcessArguments,
        },
      });
      return { ...privacy, version };
    });
  }
}

const FRESH_MS = 5_000;
const MAX_TENANTS = 10_000;

/** Asks the source once in a while for each tenant. While it does not answer, everything is redacted: what was stored cannot be taken back. */
export class CachedFlowPrivacy implements FlowPrivacySource {
  readonly #source: FlowPrivacySource;
  readonly #now: () => number;
  readonly #known = new Map<string, { readonly until: number; readonly privacy: Promise<FlowPrivacy> }>();

  constructor(source: FlowPrivacySource, now: () => number = () => performance.now()) {
    this.#source = source;
    this.#now = now;
  }

  of(tenantId: TenantId): Promise<FlowPrivacy> {
    const known = this.#known.get(tenantId);
    if (known !== undefined && known.until > this.#now()) return known.privacy;
    const privacy = this.#source.of(tenantId).catch(() => DEFAULT_FLOW_PRIVACY);
    if (this.#known.size >= MAX_TENANTS) this.#known.clear();
    this.#known.set(tenantId, { until: this.#now() + FRESH_MS, privacy });
    return privacy;
  }
}
