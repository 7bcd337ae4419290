import { describe, expect, it } from 'vitest';
import { FairTurns } from './fair-turns.ts';

function drain(turns: FairTurns, count: number): string[] {
  return Array.from({ length: count }, () => {
    const job = turns.take(0);
    if (job !== undefined) turns.done(job);
    return job?.tenantId ?? '-';
  });
}

describe('FairTurns', () => {
  it('serves a tenant within one turn of the others, however much they queue', () => {
    const turns = new FairTurns(2);
    for (let index = 0; index < 1_000; index += 1) turns.add({ tenantId: 'a', id: `a${index}` });
    drain(turns, 10);
    turns.add({ tenantId: 'b', id: 'b0' });
    expect(drain(turns, 2)).toContain('b');
  });

  it('lets no tenant have more than its share at once', () => {
    const turns = new FairTurns(2);
    for (let index = 0; index < 5; index += 1) turns.add({ tenantId: 'a', id: `a${index}` });
    expect([turns.take(0), turns.take(0), turns.take(0)].filter((job) => job !== undefined)).toHaveLength(2);
    expect([turns.running, turns.waiting]).toEqual([2, 3]);
  });

  it('keeps one copy of a waiting job and never runs one twice at once', () => {
    const turns = new FairTurns(2);
    const job = { tenantId: 'a', id: 'x' };
    turns.add(job);
    turns.add(job);
    expect(turns.take(0)).toEqual(job);
    expect(turns.take(0)).toBeUndefined();
    turns.add(job);
    expect(turns.take(0)).toBeUndefined();
    turns.done(job);
    expect(turns.take(0)).toEqual(job);
  });

  it('lets a job rest without keeping its place from another', () => {
    const turns = new FairTurns(1);
    const job = { tenantId: 'a', id: 'large' };
    turns.add(job);
    turns.take(1_000);
    turns.done(job, 1_400);
    turns.add(job);
    expect(turns.take(1_399)).toBeUndefined();
    turns.add({ tenantId: 'a', id: 'small' });
    expect(turns.take(1_399)?.id).toBe('small');
    turns.done({ tenantId: 'a', id: 'small' });
    expect(turns.take(1_400)).toEqual(job);
  });

  it('gives the place of a job back that nobody reported done', () => {
    const turns = new FairTurns(1);
    turns.add({ tenantId: 'a', id: 'lost' });
    turns.add({ tenantId: 'a', id: 'next' });
    turns.take(1_000);
    turns.expire(1_000);
    expect(turns.take(2_000)).toBeUndefined();
    turns.expire(1_001);
    expect(turns.take(2_000)?.id).toBe('next');
  });
});
