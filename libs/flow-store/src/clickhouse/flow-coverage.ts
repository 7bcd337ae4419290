import { FLOW_LOSS_REASONS, totalLost, type FlowCoverage, type FlowLosses } from '@palisade/flow';
import type { FlowQuery } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import { clusterCondition } from './actor-scope.ts';
import type { TenantQuestion } from './tenant-question.ts';
import { readUnlanded } from './unlanded-batches.ts';

/** What the agents of the scope say they lost or left out while the window was seen, and what gateways acknowledged that is not here. */
export async function readCoverage(ask: () => TenantQuestion, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
  const conditions = (question: TenantQuestion): string[] => [
    'incomplete = 1',
    `window_end_us >= ${question.add('UInt64', query.sinceUs)}`,
    `window_start_us < ${question.add('UInt64', query.untilUs)}`,
    ...clusterCondition(context, query.clusterId, question),
  ];
  const [forSampled, forLosses] = [ask(), ask()];
  const [[row], lossRows, unlanded] = await Promise.all([
    forSampled.rows<{ sampled: string }>(`SELECT sum(sampled) AS sampled ${forSampled.from('flow_batch', conditions(forSampled))}`),
    forLosses.rows<{ reason: string; total: string }>(
      `SELECT reason, sum(one) AS total FROM (SELECT loss_reasons, loss_counts ${forLosses.from('flow_batch', conditions(forLosses))})
        ARRAY JOIN loss_reasons AS reason, loss_counts AS one GROUP BY reason`,
    ),
    readUnlanded(ask, context, query),
  ]);
  const totals = new Map([...lossRows.map(({ reason, total }): [string, number] => [reason, Number(total)]), ...(unlanded === 0 ? [] : [['not-landed', unlanded] as const])]);
  const losses: FlowLosses = Object.fromEntries(FLOW_LOSS_REASONS.flatMap((reason) => (totals.has(reason) ? [[reason, totals.get(reason)]] : [])));
  const lost = totalLost(losses);
  const sampled = Number(row?.sampled ?? 0);
  return { complete: lost === 0 && sampled === 0, lost, sampled, losses };
}
