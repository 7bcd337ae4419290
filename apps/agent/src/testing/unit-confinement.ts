import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const UNIT = fileURLToPath(new URL('../../../../infra/systemd/palisade-agent.service', import.meta.url));
const POD = fileURLToPath(new URL('../../../../infra/kubernetes/agent.yaml', import.meta.url));
const POD_PROFILE = fileURLToPath(new URL('../../../../infra/kubernetes/palisade-agent.json', import.meta.url));
const LAUNCHER = fileURLToPath(new URL('./seccomp-launcher.c', import.meta.url));

/** Values of a setting in the unit file, in order. */
function settings(name: string): readonly string[] {
  return readFileSync(UNIT, 'utf8').split('\n').flatMap((line) => (line.startsWith(`${name}=`) ? [line.slice(name.length + 1)] : []));
}

/** System calls of a group, by asking systemd; groups hold groups. */
function groupMembers(group: string): readonly string[] {
  const lines = execFileSync('systemd-analyze', ['syscall-filter', '--no-pager', group], { encoding: 'utf8' }).split('\n').slice(1);
  const names = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  return names.flatMap((name) => (name.startsWith('@') ? groupMembers(name) : [name]));
}

/** What the unit's `SystemCallFilter=` lines allow: the first is a list of what is allowed, those with ~ take away (systemd.exec(5)). */
export function allowedCalls(): ReadonlySet<string> {
  const allowed = new Set<string>();
  for (const line of settings('SystemCallFilter')) {
    const takesAway = line.startsWith('~');
    for (const word of line.replace(/^~/, '').split(' ')) {
      for (const name of word.startsWith('@') ? groupMembers(word) : [word]) {
        if (takesAway) allowed.delete(name);
        else allowed.add(name);
      }
    }
  }
  // What systemd always allows.
  for (const name of groupMembers('@default')) allowed.add(name);
  return allowed;
}

/** What the pod's seccomp profile allows (OCI runtime specification, config-linux.md, Seccomp). @throws Error when it does more than allow by name */
export function podCalls(): ReadonlySet<string> {
  const profile = JSON.parse(readFileSync(POD_PROFILE, 'utf8')) as { defaultAction: string; syscalls: { action: string; names: string[] }[] };
  if (profile.defaultAction !== 'SCMP_ACT_ERRNO' || profile.syscalls.some(({ action }) => action !== 'SCMP_ACT_ALLOW')) throw new Error(`${POD_PROFILE} does more than allow calls by name`);
  return new Set(profile.syscalls.flatMap(({ names }) => names));
}

/** Capabilities that the pod adds after dropping all. */
export function podCapabilities(): readonly string[] {
  const [, names = ''] = /drop: \[ALL\]\s+add: \[([A-Z_, ]+)\]/.exec(readFileSync(POD, 'utf8')) ?? [];
  return names.split(', ').map((name) => name.toLowerCase());
}

/** Numbers of system calls on this architecture, from the C library's header. */
function callNumbers(): ReadonlyMap<string, number> {
  const machine = process.arch === 'x64' ? 'x86_64' : 'aarch64';
  const header = execFileSync('gcc', ['-E', '-dM', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null'], { encoding: 'utf8' });
  const numbers = [...header.matchAll(/^#define __NR_(\w+) (\d+)$/gm)].map(([, name = '', number]) => [name, Number(number)] as const);
  if (numbers.length < 200) throw new Error(`the system calls of ${machine} are not in the C library's header`);
  return new Map(numbers);
}

/** struct sock_filter: anything that is not allowed fails with EPERM (`SystemCallErrorNumber=EPERM`). */
function seccompFilter(): Buffer {
  const numbers = callNumbers();
  const pod = podCalls();
  const allowed = [...allowedCalls()].filter((name) => pod.has(name)).flatMap((name) => numbers.get(name) ?? []);
  const rows: [code: number, jt: number, jf: number, k: number][] = [[0x20, 0, 0, 0]]; // ld [nr]
  for (const number of allowed) rows.push([0x15, 0, 1, number], [0x06, 0, 0, 0x7fff0000]); // jeq → ret ALLOW
  rows.push([0x06, 0, 0, 0x00050001]); // ret ERRNO | EPERM
  const filter = Buffer.alloc(rows.length * 8);
  for (const [at, [code, jt, jf, k]] of rows.entries()) {
    filter.writeUInt16LE(code, at * 8);
    filter.writeUInt8(jt, at * 8 + 2);
    filter.writeUInt8(jf, at * 8 + 3);
    filter.writeUInt32LE(k, at * 8 + 4);
  }
  return filter;
}

/** Capabilities that the unit grants, as setpriv(1) names them. */
export function grantedCapabilities(): readonly string[] {
  return settings('CapabilityBoundingSet').join(' ').split(' ').map((name) => name.replace(/^CAP_/, '').toLowerCase());
}

/** Words before a command that run it with exactly the capabilities and system calls that both the unit and the pod allow. `dir` takes the helper. */
export function confined(dir: string): readonly string[] {
  writeFileSync(join(dir, 'filter'), seccompFilter());
  execFileSync('gcc', ['-O1', '-o', join(dir, 'seccomp-launcher'), LAUNCHER]);
  const set = `-all,${grantedCapabilities().map((name) => `+${name}`).join(',')}`;
  return ['setpriv', `--bounding-set=${set}`, `--inh-caps=${set}`, `--ambient-caps=${set}`, '--no-new-privs', join(dir, 'seccomp-launcher'), join(dir, 'filter')];
}
