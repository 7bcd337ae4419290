import { describe, expect, it } from 'vitest';
import { isRecent } from './server-version.ts';

describe('the version of a ClickHouse server', () => {
  it.each(['23.8', '23.8.16.40', '23.12.1.1', '24.1.2.3', '26.7.3.1-stable'])('%s is recent', (version) => {
    expect(isRecent(version)).toBe(true);
  });

  it.each(['23.7.6.111', '22.12.1.1', '18.16.1'])('%s is too old', (version) => {
    expect(isRecent(version)).toBe(false);
  });

  it('has to be readable', () => {
    expect(() => isRecent('')).toThrow('cannot be read');
  });
});
