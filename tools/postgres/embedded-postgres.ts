import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { locatePostgres } from './binaries.ts';
import { unprivilegedLauncher, type UnprivilegedLauncher } from './unprivileged.ts';

/** What to start. */
export interface PostgresOptions {
  /** Folder of the cluster; made when absent, kept on stop. */
  readonly dataDir: string;
  /** File that the server's messages are appended to. */
  readonly logFile: string;
  /** False trades safety on power loss for speed; for tests only. Default true. */
  readonly durable?: boolean;
  /** Further settings, as `postgres -c name=value`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

/** A PostgreSQL that runs. */
export interface RunningPostgres {
  readonly port: number;
  /** Connection of the superuser. It bypasses row-level security: for set-up only. */
  readonly adminUrl: string;
  /** Resolves with a sentence when the server ends, asked or not. */
  readonly ended: Promise<string>;
  /** Fast shutdown: open transactions are rolled back. Resolves when the process is gone. */
  stop(): Promise<void>;
  /** Ends the server at once, as a crash would; for fault tests. */
  kill(): Promise<void>;
}

/** Processes of a crashed server hold its memory for this long at most; more is somebody's server. */
const CRASHED_DEADLINE_MS = 10_000;
const STILL_HELD = 'pre-existing shared memory block';
const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 10_000;
const SUPERUSER = 'postgres';

/**
 * Starts the embedded PostgreSQL 18 on a free loopback port, without a Unix
 * socket, with password logins only. A first start makes the cluster.
 *
 * Development and tests only: the libraries inside are old. Production brings
 * its own `DATABASE_URL`.
 *
 * @throws when another server runs on the same folder, or it does not come up
 *   within a minute (with the end of its log).
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const binaries = locatePostgres();
  const launcher = unprivilegedLauncher();
  const durable = options.durable ?? true;
  refuseSecondStart(options.dataDir);

  const passwordFile = join(options.dataDir, '..', `${options.dataDir.split('/').at(-1)}.password`);
  if (!existsSync(join(options.dataDir, 'PG_VERSION'))) {
    initialise(binaries.initdb, options.dataDir, passwordFile, launcher);
  }
  own(options.dataDir, launcher.uid);

  const port = await freePort();
  const settings: Record<string, string | number> = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    timezone: 'UTC',
    ...(durable ? {} : { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' }),
    ...options.settings,
  };
  const command = [binaries.postgres, '-D', options.dataDir, ...Object.entries(settings).flatMap(([k, v]) => ['-c', `${k}=${v}`])];
  const password = readFileSync(passwordFile, 'utf8').trim();
  const adminUrl = `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/postgres`;
  const deadline = Date.now() + CRASHED_DEADLINE_MS;
  let server = launch(launcher, command, options.logFile);
  for (;;) {
    try {
      await untilReady(adminUrl, server, options.logFile);
      break;
    } catch (error) {
      server.process.kill('SIGQUIT');
      // The last processes of a server that was killed are a moment behind it.
      if (!String(error).includes(STILL_HELD) || Date.now() > deadline) throw error;
      await delay(50);
      server = launch(launcher, command, options.logFile);
    }
  }
  return {
    port,
    adminUrl,
    ended: server.ended,
    stop: () => end(server, 'SIGINT'),
    kill: () => end(server, 'SIGKILL'),
  };
}

interface Server {
  readonly process: ChildProcess;
  readonly ended: Promise<string>;
  hasEnded(): boolean;
}

function launch(launcher: UnprivilegedLauncher, command: readonly string[], logFile: string): Server {
  const log = openSync(logFile, 'a');
  const [program = '', ...rest] = [...launcher.prefix, ...command];
  // Its own process group: Ctrl-C reaches us, and we stop it after what uses it.
  const child = spawn(program, rest, { stdio: ['ignore', log, log], detached: true, env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
  closeSync(log);
  let gone = false;
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`PostgreSQL could not be started: ${error.message}`));
    child.once('exit', (code, signal) => resolve(`PostgreSQL ended with ${signal ?? `exit code ${code}`}`));
  }).then((sentence) => {
    gone = true;
    return sentence;
  });
  return { process: child, ended, hasEnded: () => gone };
}

function initialise(initdb: string, dataDir: string, passwordFile: string, launcher: UnprivilegedLauncher): void {
  // An empty or half-made cluster is of no use to anybody: start over.
  rmSync(dataDir, { recursive: true, force: true });
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  own(dataDir, launcher.uid);
  if (process.getuid?.() === 0) chownSync(passwordFile, launcher.uid, launcher.uid);
  const [program = '', ...rest] = [
    ...launcher.prefix,
    initdb,
    ...['-D', dataDir, '-U', SUPERUSER, '--pwfile', passwordFile, '--auth=scram-sha-256'],
    ...['--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
  ];
  const result = spawnSync(program, rest, { encoding: 'utf8', env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
  if (result.status !== 0) {
    rmSync(dataDir, { recursive: true, force: true });
    throw new Error(`The PostgreSQL cluster could not be made: ${result.error?.message ?? result.stderr}`);
  }
}

/** Gives a folder and all in it to a user, when it is not theirs yet. Only root can and needs to. */
function own(path: string, uid: number): void {
  if (process.getuid?.() !== 0) return;
  chownSync(path, uid, uid);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) own(join(path, entry.name), uid);
    else if (!entry.isSymbolicLink()) chownSync(join(path, entry.name), uid, uid);
  }
}

function refuseSecondStart(dataDir: string): void {
  const pidFile = join(dataDir, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
  let commandLine = '';
  try {
    commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return; // It died without cleaning up; PostgreSQL recovers by itself.
  }
  if (commandLine.includes(dataDir)) {
    throw new Error(`A PostgreSQL already runs on ${dataDir} (process ${pid}). Stop what started it first.`);
  }
}

async function untilReady(url: string, server: Server, logFile: string): Promise<void> {
  const deadline = Date.now() + START_DEADLINE_MS;
  let last = 'it never answered';
  while (Date.now() < deadline) {
    if (server.hasEnded()) throw new Error(`${await server.ended}. The end of its log:\n${tail(logFile)}`);
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      last = (error as Error).message;
      await Promise.race([delay(50), server.ended]);
    }
  }
  throw new Error(`PostgreSQL was not ready within ${START_DEADLINE_MS / 1000} s (${last}). The end of its log:\n${tail(logFile)}`);
}

async function end(server: Server, signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
  if (server.hasEnded()) return;
  const pid = server.process.pid;
  // A crash takes the whole group: a surviving backend would keep the shared memory.
  if (signal === 'SIGKILL' && pid !== undefined) process.kill(-pid, 'SIGKILL');
  else server.process.kill(signal);
  const insist = setTimeout(() => server.process.kill('SIGQUIT'), STOP_DEADLINE_MS);
  await server.ended;
  clearTimeout(insist);
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-15).join('\n');
}

/** A port that nothing listens on now. PostgreSQL cannot choose one itself. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
