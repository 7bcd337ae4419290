import { describe, expect, it } from 'vitest';
import { behavioursOf, parseFaults } from './fault-shares.ts';

describe('faults of a fleet', () => {
  it('are counts or shares, and a share is never nobody', () => {
    expect([...parseFaults(['silent=1%', 'failing=3', 'lying=0.5%'], 100)]).toEqual([['silent', 1], ['failing', 3], ['lying', 1]]);
  });

  it.each([['sleepy=1%'], ['healthy=1'], ['silent'], ['silent=1.5'], ['silent=-1'], ['silent=101%']])('are refused as %s', (text) => {
    expect(() => parseFaults([text], 100)).toThrow();
  });

  it('are given to exactly as many agents, spread over the fleet', () => {
    const behaviours = behavioursOf(1_000, parseFaults(['silent=1%', 'failing=2%'], 1_000));
    const at = (wanted: string) => behaviours.flatMap((behaviour, index) => (behaviour === wanted ? [index] : []));
    expect(at('silent')).toHaveLength(10);
    expect(at('failing')).toHaveLength(20);
    expect(behaviours.slice(0, 100).filter((behaviour) => behaviour !== 'healthy')).toHaveLength(3);
    expect(at('healthy')).toHaveLength(970);
  });

  it('may take everybody', () => {
    expect(behavioursOf(3, parseFaults(['slow=100%'], 3))).toEqual(['slow', 'slow', 'slow']);
  });
});
