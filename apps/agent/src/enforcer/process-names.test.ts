import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXECUTION, bytesText } from '@palisade/dataplane';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { containerOf, describeArguments } from './process-names.ts';
import { findExecution, processIds } from './running-processes.ts';

const ID = 'a1'.repeat(32);

describe('the container of a process', () => {
  it.each([`cri-containerd-${ID}.scope`, `docker-${ID}.scope`, `crio-${ID}.scope`, `libpod-${ID}.scope`, `kubepods-besteffort-pod1:cri-containerd:${ID}`, ID])('is found in %s', (name) => {
    expect(containerOf(name)).toBe(ID);
  });
  it.each(['nginx.service', '', 'user@1000.service', `x${ID}`, ID.slice(1), `docker-${ID}.service`])('is none in "%s"', (name) => {
    expect(containerOf(name)).toBeUndefined();
  });
});

describe('arguments on flows', () => {
  const bytes = Buffer.from('/bin/sh\0-c\0secret value\0');

  it('are a hash of what follows the program’s name', () => {
    const hash = createHash('sha256').update('-c\0secret value\0').digest('hex').slice(0, 32);
    expect(describeArguments(bytes, bytes.length, 'hash')).toBe(`sha256:${hash}`);
  });
  it('are told whole, or not at all, where that is set', () => {
    expect(describeArguments(bytes, bytes.length, 'full')).toBe('-c secret value');
    expect(describeArguments(bytes, bytes.length, 'off')).toBeUndefined();
  });
  it('are absent where there are none', () => {
    expect(describeArguments(Buffer.from('/bin/true\0'), 10, 'full')).toBeUndefined();
    expect(describeArguments(new Uint8Array(512), 0, 'hash')).toBeUndefined();
  });
  it('say that they were cut, and differ then by their length', () => {
    const long = Buffer.alloc(512, 'a');
    long[3] = 0;
    expect(describeArguments(long, 900, 'full')).toMatch(/ …$/);
    expect(describeArguments(long, 900, 'hash')).not.toBe(describeArguments(long, 901, 'hash'));
  });
});

describe('processes that ran before the agent', () => {
  let proc: string;
  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), 'palisade-proc-'));
  });
  afterEach(() => rmSync(proc, { recursive: true }));
  const make = (pid: number, files: Readonly<Record<string, string>>, exe?: string): void => {
    mkdirSync(join(proc, String(pid)));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(proc, String(pid), name), text);
    if (exe !== undefined) symlinkSync(exe, join(proc, String(pid), 'exe'));
  };
  const decode = (pid: number): ReturnType<typeof EXECUTION.decode> | undefined => {
    const found = findExecution(pid, proc);
    return found && EXECUTION.decode(found.value);
  };

  it('are read with program, user, cgroup and arguments', () => {
    make(7, { cmdline: 'nginx\0-g\0daemon off;\0', status: 'Name:\tnginx\nUid:\t33\t33\t33\t33\n', cgroup: `0::/kubepods.slice/cri-containerd-${ID}.scope\n` }, '/usr/sbin/nginx (deleted)');
    const found = decode(7);
    expect(found && [bytesText(found.path), found.uid, bytesText(found.cgroup), found.argument_bytes]).toEqual(['/usr/sbin/nginx', 33, `cri-containerd-${ID}.scope`, 21]);
  });
  it('go by their first argument where the program may not be looked at, and by their v1 cgroup where v2 holds nothing', () => {
    make(8, { cmdline: '/opt/app\0', status: '', cgroup: `4:memory:/docker/${ID}\n0::/\n` });
    const found = decode(8);
    expect(found && [bytesText(found.path), bytesText(found.cgroup)]).toEqual(['/opt/app', ID]);
  });
  it('are left out when they are kernel threads or gone', () => {
    make(2, { cmdline: '' });
    expect([findExecution(2, proc), findExecution(99, proc)]).toEqual([undefined, undefined]);
    expect(processIds(proc)).toEqual([2]);
  });
});
