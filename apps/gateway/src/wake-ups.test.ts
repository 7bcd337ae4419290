import { beforeEach, describe, expect, it } from 'vitest';
import { passOn } from './wake-ups.ts';

let told: string[];
beforeEach(() => {
  told = [];
});
const note = (name: string) => (...ids: string[]) => void told.push([name, ...ids].join(' '));
const listeners = {
  checkIns: { stir: note('stir'), stirAll: note('stir all') },
  nodes: { forget: note('forget'), forgetAll: note('forget all') },
  board: { look: note('look') },
};

describe('a wake-up', () => {
  it.each([
    ['desired', ['stir t c']],
    ['identities', ['stir t c']],
    ['agent-outcome', ['look']],
    ['observed', []],
  ])('of %s tells %j', (topic, expected) => {
    passOn({ topic, tenant: 't', cluster: 'c' }, listeners);
    expect(told).toEqual(expected);
  });

  it('of a node that was revoked, locked or let in again ends what was remembered before held check-ins are answered', () => {
    passOn({ topic: 'node-state', tenant: 't', cluster: 'c' }, listeners);
    expect(told).toEqual(['forget t', 'stir t c']);
  });

  it('that was missed may have been any of them', () => {
    passOn({ topic: 'missed', tenant: null, cluster: null }, listeners);
    expect(told).toEqual(['look', 'forget all', 'stir all']);
  });
});
