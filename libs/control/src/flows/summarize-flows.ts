import { DomainError } from '@palisade/errors';
import {
  changesBetween, dropCauses, FLOW_LOSS_REASONS, serviceMap, topTalkers,
  type ConnectionChange, type DropCause, type FlowCoverage, type ServiceConnection, type Talker, type TalkerMeasure,
} from '@palisade/flow';
import { scopeHasCluster, type TenantContext } from '@palisade/tenancy';
import type { FlowEdgeAnswer, FlowEdgeQuery, FlowEdgeReader } from './flow-store.ts';

export interface FlowWindow {
  readonly clusterId?: string;
  readonly sinceUs: number;
  readonly untilUs: number;
}

/** Every summary says how complete it is, and what it did not tell apart. */
export interface FlowSummary<Item> {
  readonly items: readonly Item[];
  readonly beyond: FlowEdgeAnswer['beyond'];
  readonly coverage: FlowCoverage;
}

const EDGES = 5_000;
const SECOND_US = 1_000_000;
const MAX_WINDOW_US = 400 * 86_400 * SECOND_US;

/** Answers about who talks to whom, from sums; in the actor's scope. */
export class SummarizeFlows {
  readonly #edges: FlowEdgeReader;

  constructor(ports: { readonly edges: FlowEdgeReader }) {
    this.#edges = ports.edges;
  }

  /** The sums themselves, busiest first. */
  edges(context: TenantContext, window: FlowWindow): Promise<FlowEdgeAnswer> {
    return this.#read(context, window);
  }

  async serviceMap(context: TenantContext, window: FlowWindow): Promise<FlowSummary<ServiceConnection>> {
    const answer = await this.#read(context, window);
    return { ...answer, items: serviceMap(answer.edges, seconds(window)) };
  }

  /** Connections with HTTP, most requests first. What does not fit the limit is in `beyond`, as connections. */
  async httpSignals(context: TenantContext, window: FlowWindow, limit: number): Promise<FlowSummary<ServiceConnection>> {
    const answer = await this.#read(context, window);
    const all = serviceMap(answer.edges, seconds(window)).filter(({ http }) => http !== undefined).toSorted((a, b) => (b.http?.requests ?? 0) - (a.http?.requests ?? 0));
    const rest = all.slice(limit);
    const beyond = rest.reduce((sum, { flows, bytes }) => ({ edges: sum.edges + 1, flows: sum.flows + flows, bytes: sum.bytes + bytes }), answer.beyond);
    return { items: all.slice(0, limit), beyond, coverage: answer.coverage };
  }

  async topTalkers(context: TenantContext, window: FlowWindow, measure: TalkerMeasure, limit: number): Promise<FlowSummary<Talker>> {
    const answer = await this.#read(context, window);
    return { ...answer, items: topTalkers(answer.edges, measure, limit) };
  }

  async dropCauses(context: TenantContext, window: FlowWindow): Promise<FlowSummary<DropCause>> {
    const answer = await this.#read(context, window);
    return { ...answer, items: dropCauses(answer.edges) };
  }

  /** What is different in `after` against `before`; coverage is that of both. */
  async changes(context: TenantContext, before: FlowWindow, after: FlowWindow): Promise<FlowSummary<ConnectionChange>> {
    const [was, is] = [await this.serviceMap(context, before), await this.serviceMap(context, after)];
    return {
      items: changesBetween(was.items, is.items),
      beyond: { edges: was.beyond.edges + is.beyond.edges, flows: was.beyond.flows + is.beyond.flows, bytes: was.beyond.bytes + is.beyond.bytes },
      coverage: coverageOfBoth(was.coverage, is.coverage),
    };
  }

  #read(context: TenantContext, window: FlowWindow): Promise<FlowEdgeAnswer> {
    if (window.clusterId !== undefined && !scopeHasCluster(context.actor.scope, window.clusterId)) {
      throw new DomainError('resource.not-found', `There is no cluster ${window.clusterId}.`);
    }
    if (!(window.sinceUs < window.untilUs) || window.untilUs - window.sinceUs > MAX_WINDOW_US) {
      throw new DomainError('request.invalid', 'The window must be longer than nothing and at most 400 days.', { pointer: '/since' });
    }
    const query: FlowEdgeQuery = { ...window, limit: EDGES };
    return this.#edges.edges(context, query);
  }
}

function seconds({ sinceUs, untilUs }: FlowWindow): number {
  return (untilUs - sinceUs) / SECOND_US;
}

function coverageOfBoth(one: FlowCoverage, other: FlowCoverage): FlowCoverage {
  const losses = Object.fromEntries(FLOW_LOSS_REASONS.flatMap((reason) => {
    const count = (one.losses[reason] ?? 0) + (other.losses[reason] ?? 0);
    return count === 0 ? [] : [[reason, count]];
  }));
  return { complete: one.complete && other.complete, lost: one.lost + other.lost, sampled: one.sampled + other.sampled, losses };
}
