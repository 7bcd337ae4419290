import type { FlowQuery } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import { clusterCondition, namespaceCondition } from './actor-scope.ts';
import { selectionCondition } from './flow-conditions.ts';
import type { TenantQuestion } from './tenant-question.ts';

/** What the actor may see: conditions on `flow`. */
export function inScope(question: TenantQuestion, context: TenantContext, clusterId: string | undefined): string[] {
  return [...clusterCondition(context, clusterId, question), ...namespaceCondition(context, question)];
}

/** What the actor may see of what was asked for: conditions on `flow`. */
export function visible(question: TenantQuestion, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>): string[] {
  return [...inScope(question, context, query.clusterId), selectionCondition(query.selection, question)];
}

const FIVE_MINUTES_US = 300_000_000;

/** The window, as the table is partitioned and sorted by it. @param untilUs not included */
export function timeConditions(question: TenantQuestion, sinceUs: number, untilUs: number): string[] {
  const [since, until] = [Math.max(0, Math.trunc(sinceUs)), Math.max(0, Math.trunc(untilUs))];
  return [
    `last_seen_us >= ${question.add('UInt64', since)}`,
    `last_seen_us < ${question.add('UInt64', until)}`,
    `intDiv(last_seen_us, ${FIVE_MINUTES_US}) >= ${question.add('UInt64', Math.floor(since / FIVE_MINUTES_US))}`,
    `intDiv(last_seen_us, ${FIVE_MINUTES_US}) <= ${question.add('UInt64', Math.floor(until / FIVE_MINUTES_US))}`,
  ];
}
