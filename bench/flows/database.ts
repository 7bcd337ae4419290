import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureDatabase, ensureOwner, OWNER_ROLE, urlFor } from '../../tools/postgres/database.ts';
import { startPostgres } from '../../tools/postgres/embedded-postgres.ts';
import { migrate } from '../../tools/postgres/migrate.ts';

export interface BenchDatabase {
  readonly adminUrl: string;
  readonly ingestUrl: string;
  readonly apiUrl: string;
  readonly workerUrl: string;
}

export interface BenchServer {
  database(name: string): Promise<BenchDatabase>;
  /** CPU seconds of all PostgreSQL processes so far, ended ones included. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

const TICKS_PER_SECOND = 100;

function statOf(pid: number): { parent: number; ticks: number; endedTicks: number } | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').map(Number);
    return { parent: fields[1] ?? 0, ticks: (fields[11] ?? 0) + (fields[12] ?? 0), endedTicks: (fields[13] ?? 0) + (fields[14] ?? 0) };
  } catch {
    return undefined;
  }
}

function treeTicks(root: number): number {
  const own = statOf(root);
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  const children = pids.map(statOf).filter((stat) => stat?.parent === root);
  return (own?.ticks ?? 0) + (own?.endedTicks ?? 0) + children.reduce((sum, stat) => sum + (stat?.ticks ?? 0), 0);
}

/** A durable embedded PostgreSQL of the benchmark's own: fsync on, as in production. */
export async function startBenchServer(): Promise<BenchServer> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-flows-'));
  const server = await startPostgres({
    dataDir: join(folder, 'data'), logFile: join(folder, 'log'), durable: true,
    settings: { shared_buffers: '256MB', max_wal_size: '4GB', wal_compression: 'on', checkpoint_timeout: '15min' },
  });
  const secret = (): string => randomBytes(12).toString('hex');
  const passwords = { owner: secret(), api: secret(), gateway: secret(), worker: secret(), ingest: secret() };
  await ensureOwner(server.adminUrl, passwords.owner);
  let stopped: Promise<void> | undefined;
  const postmaster = (): number => Number(readFileSync(join(folder, 'data/postmaster.pid'), 'utf8').split('\n')[0]);
  return {
    async database(name) {
      await ensureDatabase(server.adminUrl, name);
      await migrate(urlFor(server.adminUrl, OWNER_ROLE, passwords.owner, name), passwords, 'source');
      const url = (role: 'ingest' | 'api' | 'worker'): string => urlFor(server.adminUrl, `palisade_${role}`, passwords[role], name);
      const admin = new URL(server.adminUrl);
      admin.pathname = `/${name}`;
      return { adminUrl: admin.href, ingestUrl: url('ingest'), apiUrl: url('api'), workerUrl: url('worker') };
    },
    cpuSeconds: () => treeTicks(postmaster()) / TICKS_PER_SECOND,
    stop: () => (stopped ??= server.stop().finally(() => rmSync(folder, { recursive: true, force: true }))),
  };
}
