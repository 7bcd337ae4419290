import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { columnsOf } from '@palisade/flow';
import { decodeFlowBatch, encodeFlowBatch, encodeFlowBatchReceipt, type FlowBatchReceipt } from '@palisade/protocol';
import { FlowSender, type FlowChannel } from './flow-sender.ts';
import { FlowSpool } from './flow-spool.ts';

let folder: string;
let spool: FlowSpool;
let sender: FlowSender | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flow-sender-'));
  spool = new FlowSpool(folder, () => undefined);
});

afterEach(async () => {
  await sender?.stop();
  rmSync(folder, { recursive: true });
});

function add(seq: number): void {
  spool.add(encodeFlowBatch({
    bootId: '01890a5d-ac96-774b-bcce-b302099a8057', seq, windowStartUs: 1, windowEndUs: 1,
    account: { seen: 5, exported: 5, sampled: 0, dropped: {} }, columns: columnsOf([]),
  }), seq, false);
}

type Answer = Partial<FlowBatchReceipt> | number | 'no connection';

/** Answers in turn; the last answer again and again. */
function gateway(...answers: Answer[]): FlowChannel & { readonly got: number[] } {
  const got: number[] = [];
  return {
    got,
    post: (_path, body) => {
      const { seq } = decodeFlowBatch(body);
      got.push(seq);
      const answer = (answers.length > 1 ? answers.shift() : answers[0]) as Answer;
      if (answer === 'no connection') return Promise.reject(new Error('no connection'));
      if (typeof answer === 'number') return Promise.resolve({ status: answer, body: new Uint8Array(), retryAfterMs: 1 });
      return Promise.resolve({ status: 200, body: encodeFlowBatchReceipt({ seq, outcome: 'stored', credit: 1, retryAfterMs: 0, reason: '', ...answer }) });
    },
  };
}

function start(channel: FlowChannel, onRefused = vi.fn()): typeof onRefused {
  sender = new FlowSender({ spool, channel, onRefused, firstBackoffMs: 1 });
  sender.start();
  return onRefused;
}

const emptied = (): Promise<void> => vi.waitFor(() => expect(spool.length).toBe(0), { timeout: 3000, interval: 5 });

describe('sending flow batches', () => {
  it('sends in order and removes a batch only with its receipt', async () => {
    add(1);
    add(2);
    add(3);
    const channel = gateway({});
    start(channel);
    await emptied();
    expect(channel.got).toEqual([1, 2, 3]);
  });

  it('sends what comes later', async () => {
    const channel = gateway({});
    start(channel);
    add(1);
    await emptied();
    add(2);
    await emptied();
    expect(channel.got).toEqual([1, 2]);
  });

  it('takes a duplicate for stored', async () => {
    add(1);
    start(gateway({ outcome: 'duplicate' }));
    await emptied();
    expect(spool.length).toBe(0);
  });

  it.each([['no connection'], [503], [401], [{ outcome: 'deferred', credit: 0, retryAfterMs: 1 }], [{ outcome: 'unspecified' }]] as [Answer][])('keeps a batch and tries again after %j', async (answer) => {
    add(1);
    const channel = gateway(answer, answer, {});
    const onRefused = start(channel);
    await emptied();
    expect(channel.got).toEqual([1, 1, 1]);
    expect(onRefused).not.toHaveBeenCalled();
  });

  it.each([[400], [413], [{ outcome: 'refused', reason: 'over quota' }]] as [Answer][])('gives a batch up after %j and accounts for it', async (answer) => {
    add(1);
    add(2);
    const channel = gateway(answer, {});
    const onRefused = start(channel);
    await emptied();
    expect(channel.got).toEqual([1, 2]);
    expect(onRefused).toHaveBeenCalledExactlyOnceWith({ seen: 5, exported: 5, sampled: 0, dropped: {} });
  });

  it('has as many batches under way as it was given credit for', async () => {
    for (let seq = 1; seq <= 9; seq++) add(seq);
    let underWay = 0;
    let most = 0;
    const answers = gateway({ credit: 3 });
    start({
      post: async (path, body) => {
        most = Math.max(most, ++underWay);
        await new Promise((done) => setImmediate(done));
        underWay--;
        return answers.post(path, body);
      },
    });
    await emptied();
    expect(most).toBe(3);
  });
});
