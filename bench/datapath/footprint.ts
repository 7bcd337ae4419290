/** Memory and processor time of an agent that has little to do: 50 endpoints, no traffic. */

import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { OBJECT_PATH } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';

export interface Footprint {
  readonly agent_rss_mb: number;
  /** Of one core. */
  readonly agent_idle_cpu_pct: number;
}

const ENDPOINTS = 50;
/** What the unit file starts node with. */
const UNIT = new URL('../../infra/systemd/palisade-agent.service', import.meta.url);
const PROGRAM = fileURLToPath(new URL('./agent-process.mjs', import.meta.url));

export async function measureFootprint(seconds: number): Promise<Footprint> {
  const namespace = `pb${randomBytes(3).toString('hex')}`;
  const folder = mkdtempSync(join(tmpdir(), 'palisade-bench-'));
  const ip = (...words: string[]): Buffer => execFileSync('ip', words);
  ip('netns', 'add', namespace);
  try {
    const interfaces = Array.from({ length: ENDPOINTS }, (_, at) => `pod${at}`);
    for (const name of interfaces) ip('-n', namespace, 'link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`);
    const flags = (/^ExecStart=\S+((?: --\S+)*)/m.exec(readFileSync(UNIT, 'utf8'))?.[1] ?? '').split(' ').filter((word) => word !== '');
    const words = [...flags, PROGRAM, `/sys/fs/bpf/palisade/${namespace}`, `/run/netns/${namespace}`, folder, OBJECT_PATH, String(seconds), ...interfaces];
    const { stdout } = await promisify(execFile)(process.execPath, words);
    const result = JSON.parse(stdout) as { protectedEndpoints: number; residentMb: number; idlePercent: number };
    if (result.protectedEndpoints !== ENDPOINTS) throw new Error(`only ${result.protectedEndpoints} of ${ENDPOINTS} endpoints were protected`);
    return { agent_rss_mb: result.residentMb, agent_idle_cpu_pct: result.idlePercent };
  } finally {
    ip('netns', 'del', namespace);
    rmSync(folder, { recursive: true });
  }
}
