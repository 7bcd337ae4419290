import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import { isUuid } from '../uuid.ts';
import type { FlowSinkRecord, FlowSinkRepositories, FlowSinkSetting, NewFlowSink } from './flow-sink.ts';
import type { FlowReader } from './flow-store.ts';

/** Sinks of one tenant: each reads everything the tenant stores. */
const MAX_SINKS = 5;

export type FlowSinkInput = Pick<NewFlowSink, 'name' | 'endpoint' | 'headers' | 'logs' | 'metrics'>;
export type FlowSinkChange = Partial<FlowSinkSetting> & { readonly headers?: Readonly<Record<string, string>> };

/** Where flows and metrics go besides the store. A sink sends all of the tenant: only whose scope is the whole tenant may set one up. */
export class ManageFlowSinks {
  readonly #unitOfWork: UnitOfWork<FlowSinkRepositories>;
  readonly #flows: Pick<FlowReader, 'now'>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<FlowSinkRepositories>; readonly flows: Pick<FlowReader, 'now'> }) {
    this.#unitOfWork = ports.unitOfWork;
    this.#flows = ports.flows;
  }

  /** Sends what is stored from now on. @throws DomainError `resource.conflict` (name taken, or too many), `auth.forbidden`, `request.invalid` */
  async create(context: TenantContext, input: FlowSinkInput): Promise<FlowSinkRecord> {
    wholeTenant(context);
    sendsSomething(input);
    const position = await this.#flows.now(context);
    return this.#unitOfWork.run(context, async ({ flowSinks, audit }) => {
      if ((await flowSinks.count()) >= MAX_SINKS) throw new DomainError('resource.conflict', `A tenant has at most ${MAX_SINKS} flow sinks: remove one first.`);
      const sink = await flowSinks.insert({ ...input, enabled: true, position, createdBy: context.actor.name });
      await audit.append({ action: 'flow-sink.created', target: targetOf(sink), summary: `Sends ${whatOf(sink)} to ${sink.endpoint} from now on.`, details: { endpoint: sink.endpoint, headerNames: sink.headerNames.join(', ') } });
      return sink;
    });
  }

  list(context: TenantContext, page: PageRequest): Promise<Page<FlowSinkRecord>> {
    wholeTenant(context);
    return this.#unitOfWork.run(context, ({ flowSinks }) => flowSinks.list(page));
  }

  get(context: TenantContext, id: string): Promise<FlowSinkRecord> {
    wholeTenant(context);
    return this.#unitOfWork.run(context, ({ flowSinks }) => found(id, isUuid(id) ? flowSinks.find(id) : undefined));
  }

  /** @throws DomainError `resource.not-found`, `resource.stale` */
  change(context: TenantContext, id: string, change: FlowSinkChange, expectedVersion?: number): Promise<FlowSinkRecord> {
    wholeTenant(context);
    return this.#unitOfWork.run(context, async ({ flowSinks, audit }) => {
      const before = await found(id, isUuid(id) ? flowSinks.find(id) : undefined);
      const { endpoint, logs, metrics, enabled } = { ...before, ...change };
      sendsSomething({ logs, metrics });
      const stale = expectedVersion !== undefined && expectedVersion !== before.version;
      const after = stale ? undefined : await flowSinks.update(id, { endpoint, logs, metrics, enabled, ...(change.headers === undefined ? {} : { headers: change.headers }) }, before.version);
      if (after === undefined) throw new DomainError('resource.stale', `Flow sink ${before.name} has changed since it was read: read it again, then repeat the change.`);
      await audit.append({
        action: 'flow-sink.updated', target: targetOf(after), summary: after.enabled ? `Sends ${whatOf(after)} to ${after.endpoint}.` : `Sends nothing to ${after.endpoint} for now.`,
        details: { endpoint: after.endpoint, headerNames: after.headerNames.join(', '), versionBefore: before.version, versionAfter: after.version },
      });
      return after;
    });
  }

  remove(context: TenantContext, id: string): Promise<void> {
    wholeTenant(context);
    return this.#unitOfWork.run(context, async ({ flowSinks, audit }) => {
      const sink = await found(id, isUuid(id) ? flowSinks.find(id) : undefined);
      await flowSinks.remove(id);
      await audit.append({ action: 'flow-sink.removed', target: targetOf(sink), summary: `Sends nothing to ${sink.endpoint} any more.` });
    });
  }
}

function wholeTenant({ actor: { scope } }: TenantContext): void {
  if (scope.clusters !== 'all' || scope.namespaces !== 'all') throw new DomainError('auth.forbidden', 'A flow sink sends all of the tenant: it takes a token that is bound to no clusters or namespaces.');
}

function sendsSomething({ logs, metrics }: Pick<FlowSinkSetting, 'logs' | 'metrics'>): void {
  if (!logs && !metrics) throw new DomainError('request.invalid', 'A sink sends logs, metrics or both.', { pointer: '/logs' });
}

async function found(id: string, sink: Promise<FlowSinkRecord | undefined> | undefined): Promise<FlowSinkRecord> {
  const one = await sink;
  if (one === undefined) throw new DomainError('resource.not-found', `There is no flow sink ${id.slice(0, 64)}.`);
  return one;
}

function targetOf({ id, name }: FlowSinkRecord) {
  return { kind: 'flow-sink', id, name };
}

function whatOf({ logs, metrics }: FlowSinkSetting): string {
  return [...(logs ? ['flows'] : []), ...(metrics ? ['metrics'] : [])].join(' and ');
}
