import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentLock, AgentRuns } from './agent-lock.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-lock-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('the lock of a state folder', () => {
  it('is held once, and free after release', () => {
    const lock = AgentLock.take(dir);
    expect(AgentLock.held(dir)).toBe(true);
    expect(() => AgentLock.take(dir)).toThrow(AgentRuns);
    lock.release();
    expect(AgentLock.held(dir)).toBe(false);
    AgentLock.take(dir).release();
  });

  it.each([
    ['a process that is gone', '999999 123'],
    ['another process with the same number', `${process.pid} 1`],
    ['nothing', ''],
  ])('does not count when it names %s', (_what, content) => {
    writeFileSync(join(dir, 'agent.pid'), content);
    expect(AgentLock.held(dir)).toBe(false);
    AgentLock.take(dir).release();
  });
});
