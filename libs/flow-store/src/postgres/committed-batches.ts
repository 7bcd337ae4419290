import type { IngestPosition } from '@palisade/control';
import type { PoolClient } from 'pg';
import { checkedPlace } from './checked-position.ts';
import type { Parameters } from './flow-filter-sql.ts';

/** Most ledger rows one step of following looks at. */
export const TAIL_BATCHES = 500;

export interface CommittedBatch {
  readonly commit_order: string;
  readonly batch_id: string;
  readonly rows: number;
  readonly window_start: string;
  readonly window_end: string;
}

/**
 * Batches whose commits are final: below the oldest transaction that still runs, in one snapshot with the rows.
 * @throws DomainError `cursor.invalid` for a position of another store
 */
export async function committedAfter(client: PoolClient, position: IngestPosition): Promise<CommittedBatch[]> {
  const { commit, batch } = checkedPlace(position);
  const { rows } = await client.query<CommittedBatch>(
    `SELECT commit_order, batch_id, "rows", window_start::text, window_end::text FROM palisade.flow_batch
      WHERE (commit_order, batch_id) > ($1::bigint, $2::bigint) AND commit_order < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
      ORDER BY commit_order, batch_id LIMIT $3`,
    [commit, batch, TAIL_BATCHES],
  );
  return rows;
}

/** Whole batches until `limit` rows; at least one. */
export function takeBatches(batches: readonly CommittedBatch[], limit: number): CommittedBatch[] {
  const taken: CommittedBatch[] = [];
  let rows = 0;
  for (const batch of batches) {
    if (taken.length > 0 && rows + batch.rows > limit) break;
    rows += batch.rows;
    taken.push(batch);
  }
  return taken;
}

/** Conditions on `palisade.flow f` for the rows of these batches; the times let partitions be left out. */
export function ofBatches(batches: readonly CommittedBatch[], parameters: Parameters): string[] {
  const starts = `(SELECT min(t::timestamptz) FROM unnest(${parameters.add(batches.map((batch) => batch.window_start))}::text[]) t)`;
  const ends = `(SELECT max(t::timestamptz) FROM unnest(${parameters.add(batches.map((batch) => batch.window_end))}::text[]) t)`;
  return [`f.last_seen >= ${starts}`, `f.last_seen <= ${ends}`, `f.batch_id = ANY (${parameters.add(batches.map((batch) => batch.batch_id))}::bigint[])`];
}
