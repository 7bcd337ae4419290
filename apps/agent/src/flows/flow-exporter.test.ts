import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addAccounts, EMPTY_ACCOUNT, isBalanced, type FlowAccount, type FlowBatch } from '@palisade/flow';
import { decodeFlowBatch } from '@palisade/protocol';
import { FlowExporter, type FlowExporterParts } from './flow-exporter.ts';
import { kernelEvent, KNOWLEDGE, ScriptedEvents } from './testing/kernel-events.ts';

let folder: string;
let events: ScriptedEvents;
let open: FlowExporter[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flow-exporter-'));
  events = new ScriptedEvents();
  open = [];
});

afterEach(() => {
  for (const exporter of open) exporter.close();
  rmSync(folder, { recursive: true });
});

function start(over: Partial<FlowExporterParts> = {}): FlowExporter {
  const exporter = new FlowExporter({ events, knowledge: () => KNOWLEDGE, folder, ...over });
  open.push(exporter);
  return exporter;
}

function batches(exporter: FlowExporter): FlowBatch[] {
  return exporter.spool.oldest(10_000, new Set()).map((batch) => decodeFlowBatch(exporter.spool.read(batch) as Uint8Array));
}

function total(all: readonly FlowBatch[]): FlowAccount {
  return all.map((batch) => batch.account).reduce(addAccounts, EMPTY_ACCOUNT);
}

describe('exporting flows', () => {
  it('brings every drained event to disk, in batches numbered from one', async () => {
    const exporter = start();
    for (let window = 0; window < 3; window++) {
      events.waiting.push(kernelEvent(), kernelEvent({ event: 'dropped', verdict: 'dropped', dropReason: 1, ruleId: 12 }));
      await exporter.drain();
      await exporter.flush();
    }
    const all = batches(exporter);
    expect(all.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(new Set(all.map(({ bootId }) => bootId)).size).toBe(1);
    expect(total(all)).toEqual({ seen: 6, exported: 6, sampled: 0, dropped: {} });
  });

  it('writes nothing for an empty window', async () => {
    const exporter = start();
    await exporter.drain();
    expect(await exporter.flush()).toBe(0);
  });

  it('samples allowed flows over the budget, keeps denied ones, and the weights stand for all', async () => {
    const exporter = start({ budget: { allowedRows: 10, otherRows: 100 } });
    events.waiting.push(...Array.from({ length: 95 }, () => kernelEvent()), ...Array.from({ length: 20 }, () => kernelEvent({ event: 'dropped', verdict: 'dropped', dropReason: 1 })));
    await exporter.drain();
    await exporter.flush();
    const [batch] = batches(exporter) as [FlowBatch];
    expect(batch.account).toEqual({ seen: 115, exported: 30, sampled: 85, dropped: {} });
    expect(isBalanced(batch.account)).toBe(true);
    expect(batch.columns.weight.reduce((sum, weight) => sum + weight, 0)).toBe(115);
  });

  it('says what the kernel lost, once', async () => {
    const exporter = start();
    events.lost = { ringFull: 5n, evicted: 2n };
    await exporter.flush();
    await exporter.flush();
    events.lost = { ringFull: 6n, evicted: 2n };
    await exporter.flush();
    const account = total(batches(exporter));
    expect(account).toEqual({ seen: 8, exported: 0, sampled: 0, dropped: { 'ring-full': 6, evicted: 2 } });
    expect(isBalanced(account)).toBe(true);
  });

  it('does not say a second time after a restart what the kernel lost before', async () => {
    const first = start();
    events.lost = { ringFull: 5n, evicted: 0n };
    await first.flush();
    const second = start();
    await second.flush();
    expect(total(batches(second)).dropped).toEqual({ 'ring-full': 5 });
  });

  it('counts what was drained and not on disk when the agent was killed', async () => {
    const first = start();
    events.waiting.push(kernelEvent());
    await first.drain();
    await first.flush();
    events.waiting.push(kernelEvent(), kernelEvent(), kernelEvent());
    await first.drain();
    // Killed here: no flush, no close.
    const second = start();
    await second.flush();
    const account = total(batches(second));
    expect(account).toEqual({ seen: 4, exported: 1, sampled: 0, dropped: { 'agent-restart': 3 } });
    expect(isBalanced(account)).toBe(true);
  });

  it('keeps unsent batches over a restart, under their own boot id', async () => {
    const first = start();
    events.waiting.push(kernelEvent());
    await first.drain();
    await first.flush();
    const second = start();
    events.waiting.push(kernelEvent());
    await second.drain();
    await second.flush();
    const all = batches(second);
    expect(all.map(({ seq }) => seq)).toEqual([1, 1]);
    expect(new Set(all.map(({ bootId }) => bootId)).size).toBe(2);
  });

  it('sheds the oldest allowed flows first when the disk budget is used up, and accounts for them', async () => {
    const exporter = start({ spool: { bytes: 1 << 30, batches: 4 } });
    for (let window = 0; window < 8; window++) {
      events.waiting.push(kernelEvent(window < 2 ? { event: 'dropped', verdict: 'dropped', dropReason: 1 } : {}));
      await exporter.drain();
      await exporter.flush();
    }
    const kept = batches(exporter);
    for (const batch of exporter.spool.oldest(10, new Set())) exporter.spool.remove(batch);
    // With room again, the next batch says what was given up.
    await exporter.flush();
    const all = [...kept, ...batches(exporter)];
    expect(all.filter(({ columns }) => columns.verdict.includes(2))).toHaveLength(2);
    const account = total(all);
    expect(account).toEqual({ seen: 8, exported: 4, sampled: 0, dropped: { 'spool-full': 4 } });
  });

  it('starts over a half-written batch and an unreadable journal', async () => {
    writeFileSync(join(folder, '000000000000001-0000000001-p.batch.partial'), 'half');
    writeFileSync(join(folder, 'drain-journal'), '{"boot');
    const exporter = start();
    expect(exporter.spool.length).toBe(0);
    events.waiting.push(kernelEvent());
    await exporter.drain();
    expect(await exporter.flush()).toBe(1);
  });
});
