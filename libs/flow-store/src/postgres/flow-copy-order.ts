import type { CopySource } from './flow-copy.ts';

/** Rows of a batch that are written one after the other: of its list of rows, or of its rows, from here to there. */
export interface RowRun {
  readonly source: CopySource;
  readonly from: number;
  /** Not included. */
  readonly to: number;
}

/** Long enough that going from batch to batch costs nothing, short enough that runs of all of them lie close in time. */
const RUN_ROWS = 32;

interface TimedRun extends RowRun {
  /** Number of the tenant within the commit. */
  readonly tenant: number;
  readonly us: number;
}

/**
 * By tenant, then by time: about the order of the index over both. Batches of one commit cover the same seconds; written
 * one after the other, they go through the same pages of the index again and again, and wait there for other commits.
 */
export function indexOrder(sources: readonly CopySource[]): readonly RowRun[] {
  const tenants = new Map<string, number>();
  const runs = sources.flatMap((source) => {
    const name = source.tenant.join();
    let tenant = tenants.get(name);
    if (tenant === undefined) tenants.set(name, (tenant = tenants.size));
    return runsOf(source, tenant);
  });
  return runs.sort((a, b) => a.tenant - b.tenant || a.us - b.us);
}

function runsOf(source: CopySource, tenant: number): TimedRun[] {
  const { rows, columns } = source;
  const count = rows?.length ?? columns.rows;
  return Array.from({ length: Math.ceil(count / RUN_ROWS) }, (_, run) => {
    const from = run * RUN_ROWS;
    return { source, from, to: Math.min(count, from + RUN_ROWS), tenant, us: columns.lastSeenUs[rows === undefined ? from : (rows[from] ?? 0)] ?? 0 };
  });
}
