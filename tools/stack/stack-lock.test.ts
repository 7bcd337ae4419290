import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockHolder, publishAddress, releaseLock, takeLock } from './stack-lock.ts';

describe('the lock of a stack', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'palisade-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const startTicksOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[19] ?? '';

  it('tells a second start which process runs, where its API is and how to stop it', async () => {
    const other = spawn('sleep', ['60']);
    const pid = other.pid ?? 0;
    writeFileSync(join(folder, 'stack.json'), JSON.stringify({ pid, startTicks: startTicksOf(pid), apiUrl: 'http://127.0.0.1:7080' }));
    expect(() => takeLock(folder)).toThrow(new RegExp(`process ${pid}.*127\\.0\\.0\\.1:7080.*\\./dev stop`));
    other.kill('SIGKILL');
    await once(other, 'exit');
    expect(() => takeLock(folder)).not.toThrow();
  });

  it('is not held by another process that got the same id', () => {
    writeFileSync(join(folder, 'stack.json'), JSON.stringify({ pid: process.pid, startTicks: '1' }));
    expect(lockHolder(folder)).toBeUndefined();
  });

  it('is given back, with what was published in it', () => {
    takeLock(folder);
    publishAddress(folder, 'http://127.0.0.1:1');
    expect(lockHolder(folder)).toMatchObject({ pid: process.pid, apiUrl: 'http://127.0.0.1:1' });
    releaseLock(folder);
    expect(lockHolder(folder)).toBeUndefined();
  });
});
