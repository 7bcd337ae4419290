import { DomainError } from '@palisade/errors';
import { columnsOf, type FlowRecord } from '@palisade/flow';
import { parseTenantId, type TenantId } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import type { FlowAppendOutcome, FlowSink, SentFlowBatch } from './flow-store.ts';
import { IngestFlowBatch } from './ingest-flow-batch.ts';

const QUIET = parseTenantId('00000000-0000-7000-8000-000000000001');
const LOUD = parseTenantId('00000000-0000-7000-8000-000000000002');

const flow: FlowRecord = {
  event: 'delta', source: { address: '10.0.0.1', port: 1, identity: 1, labels: [] }, destination: { address: '10.0.0.2', port: 2, identity: 2, labels: [] }, protocol: 6, direction: 'egress', node: 'n',
  verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, firstSeenUs: 1, lastSeenUs: 1, tcpFlags: 0, generation: '', policyRevision: 0, identityRevision: 0, origin: 'ebpf', weight: 1,
};

function sent(tenantId: TenantId, seq: number, rows = 100): SentFlowBatch {
  return {
    sender: { tenantId, clusterId: 'c', nodeId: 'n' },
    batch: { bootId: 'b', seq, windowStartUs: 1, windowEndUs: 1, account: { seen: rows, exported: rows, sampled: 0, dropped: {} }, columns: columnsOf(new Array<FlowRecord>(rows).fill(flow)) },
  };
}

/** A store that commits when it is told to. */
class HeldSink implements FlowSink {
  readonly commits: (readonly SentFlowBatch[])[] = [];
  #open: (() => void) | undefined;
  #gate = new Promise<void>((open) => (this.#open = open));
  fail: ((batches: readonly SentFlowBatch[]) => unknown) | undefined;

  release(): void {
    this.#open?.();
  }

  async append(batches: readonly SentFlowBatch[]): Promise<readonly FlowAppendOutcome[]> {
    this.commits.push(batches);
    await this.#gate;
    const error = this.fail?.(batches);
    if (error !== undefined) throw error;
    return batches.map(({ batch }) => ({ kind: 'stored', rows: batch.columns.rows }));
  }
}

describe('taking flow batches in', () => {
  it('stores many agents batches with one commit', async () => {
    const sink = new HeldSink();
    sink.release();
    const ingest = new IngestFlowBatch({ sink });
    const answers = await Promise.all(Array.from({ length: 10 }, (_, seq) => ingest.execute(sent(QUIET, seq + 1))));
    expect(answers.every(({ outcome }) => outcome.kind === 'stored')).toBe(true);
    expect(sink.commits).toHaveLength(1);
    expect(ingest.figures()).toMatchObject({ storedRows: 1000, commits: 1, queuedRows: 0 });
  });

  it('defers what is over its bound, with no credit, and stores it when it comes again', async () => {
    const sink = new HeldSink();
    const ingest = new IngestFlowBatch({ sink, options: { queueRows: 500, tenantRows: 500, commits: 1, commitRows: 100, retryAfterMs: 7 } });
    const waiting = Array.from({ length: 20 }, (_, seq) => ingest.execute(sent(QUIET, seq + 1)));
    sink.release();
    const answers = await Promise.all(waiting);
    const deferred = answers.filter(({ outcome }) => outcome.kind === 'deferred');
    expect(deferred.length).toBeGreaterThan(0);
    expect(deferred).toContainEqual({ outcome: { kind: 'deferred', retryAfterMs: 7 }, credit: 0 });
    expect(ingest.figures().storedRows).toBe((20 - deferred.length) * 100);
    expect((await ingest.execute(sent(QUIET, 99))).outcome.kind).toBe('stored');
  });

  it('lets a tenant that floods fill its own part only, and gives the others their turn', async () => {
    const sink = new HeldSink();
    const ingest = new IngestFlowBatch({ sink, options: { queueRows: 100_000, tenantRows: 5_000, commits: 1, commitRows: 1_000, retryAfterMs: 1 } });
    const flood = Array.from({ length: 200 }, (_, seq) => ingest.execute(sent(LOUD, seq + 1)));
    const quiet = Array.from({ length: 5 }, (_, seq) => ingest.execute(sent(QUIET, seq + 1)));
    sink.release();
    expect((await Promise.all(quiet)).every(({ outcome }) => outcome.kind === 'stored')).toBe(true);
    const outcomes = (await Promise.all(flood)).map(({ outcome }) => outcome.kind);
    expect(outcomes.filter((kind) => kind === 'deferred').length).toBeGreaterThan(100);
    const turn = sink.commits.findIndex((commit) => commit.filter(({ sender }) => sender.tenantId === QUIET).length === 5 || commit.some(({ sender, batch }) => sender.tenantId === QUIET && batch.seq === 5));
    expect(turn).toBeLessThanOrEqual(2);
  });

  it('refuses the one batch that cannot be stored, and stores those beside it', async () => {
    const sink = new HeldSink();
    sink.release();
    sink.fail = (batches) => (batches.some(({ batch }) => batch.seq === 3) ? new DomainError('request.invalid', 'cannot be held') : undefined);
    const ingest = new IngestFlowBatch({ sink });
    const answers = await Promise.all([1, 2, 3, 4].map((seq) => ingest.execute(sent(QUIET, seq))));
    expect(answers.map(({ outcome }) => outcome.kind)).toEqual(['stored', 'stored', 'refused', 'stored']);
  });

  it('defers a whole commit that failed for another reason', async () => {
    const sink = new HeldSink();
    sink.release();
    sink.fail = () => new Error('the database is gone');
    const ingest = new IngestFlowBatch({ sink });
    expect((await ingest.execute(sent(QUIET, 1))).outcome.kind).toBe('deferred');
    expect(ingest.figures()).toMatchObject({ storedRows: 0, deferred: 1 });
  });

  it('finishes what it has taken when it closes, and takes no more', async () => {
    const sink = new HeldSink();
    const ingest = new IngestFlowBatch({ sink });
    const taken = ingest.execute(sent(QUIET, 1));
    const closed = ingest.close();
    expect((await ingest.execute(sent(QUIET, 2))).outcome.kind).toBe('deferred');
    sink.release();
    await closed;
    expect((await taken).outcome.kind).toBe('stored');
  });
});
