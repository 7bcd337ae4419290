import { describe, expect, it } from 'vitest';
import { Admission } from './admission.ts';

describe('who may hold how many of the gate’s connections', () => {
  it('gives one client half of them, and leaves the rest to others', () => {
    const admission = new Admission(100);
    const taken = (client: string): number => {
      let count = 0;
      while (admission.enter(client)) count += 1;
      return count;
    };
    expect([taken('10.0.0.1'), taken('10.0.0.1')]).toEqual([50, 0]);
    expect([taken('10.0.0.2'), taken('fd00::3')]).toEqual([25, 13]);
    expect(admission.open).toBe(88);
  });

  it('never gives more than there are, however many clients ask', () => {
    const admission = new Admission(8);
    const admitted = Array.from({ length: 100 }, (_, client) => admission.enter(String(client))).filter(Boolean);
    expect(admitted).toHaveLength(8);
    expect(admission.enter('another')).toBe(false);
  });

  it('takes back what has ended', () => {
    const admission = new Admission(2);
    expect([admission.enter('a'), admission.enter('a')]).toEqual([true, false]);
    admission.leave('a');
    expect([admission.open, admission.enter('a')]).toEqual([0, true]);
  });
});
