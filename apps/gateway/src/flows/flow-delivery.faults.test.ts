import { fork, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ensureDatabase, ensureOwner, OWNER_ROLE, urlFor } from '../../../../tools/postgres/database.ts';
import { startPostgres, type RunningPostgres } from '../../../../tools/postgres/embedded-postgres.ts';
import { migrate } from '../../../../tools/postgres/migrate.ts';
import { freePort } from '../../../../tools/stack/free-port.ts';
import { enrollNode } from './testing/enrolled-node.ts';
import { createTestAuthority, type NodeCertificate, type TestAuthority } from './testing/node-certificates.ts';

// Real processes: PostgreSQL (durable), the gateway as it was built (`./dev build`), and agents' flow paths; all end by SIGKILL.
const PATIENCE = { timeout: 60_000, interval: 50 };
const AGENTS = 2;
const KILLS = 9;
const secrets = { owner: 'a1', api: 'a2', gateway: 'a3', worker: 'a4', ingest: 'a5' };
const tenantId = randomUUID();

let folder: string;
let authority: TestAuthority;
let postgres: RunningPostgres;
let gateway: ChildProcess;
let port: number;
let adminPort: number;

function startDatabase(): Promise<RunningPostgres> {
  return startPostgres({ dataDir: join(folder, 'data'), logFile: join(folder, 'postgres.log'), durable: true });
}

function startGatewayProcess(): ChildProcess {
  const url = (role: 'gateway' | 'ingest'): string => urlFor(postgres.adminUrl, `palisade_${role}`, secrets[role], 'faults');
  return spawn(process.execPath, [join(import.meta.dirname, '../../dist/main.js')], {
    stdio: 'ignore',
    env: {
      ...process.env, DATABASE_URL: url('gateway'), INGEST_DATABASE_URL: url('ingest'), PALISADE_GATEWAY_TLS_DIR: authority.folder,
      PALISADE_GATEWAY_LISTEN: `127.0.0.1:${port}`, PALISADE_GATEWAY_ADMIN_LISTEN: `127.0.0.1:${adminPort}`,
    },
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await ended(child);
}

/** Ends the postmaster the way a crash does; its processes notice and end too. */
async function killDatabase(): Promise<void> {
  process.kill(Number(readFileSync(join(folder, 'data/postmaster.pid'), 'utf8').split('\n')[0]), 'SIGKILL');
  await postgres.ended;
  await vi.waitFor(async () => { postgres = await startDatabase(); }, PATIENCE);
}

/** One agent through all its lives. */
class SpoolingAgent {
  readonly notes: string;
  readonly #number: number;
  readonly #certificate: NodeCertificate;
  #life = 0;
  #process: ChildProcess | undefined;

  constructor(number: number, certificate: NodeCertificate) {
    this.#number = number;
    this.#certificate = certificate;
    this.notes = join(folder, `notes-${number}`);
  }

  start(): void {
    const plan = {
      gateway: `https://localhost:${port}`, ca: authority.gatewayCa, ...this.#certificate, folder: join(folder, `spool-${this.#number}`), notes: this.notes,
      first: this.#number * 100_000_000 + ++this.#life * 1_000_000,
    };
    this.#process = fork(join(import.meta.dirname, 'testing/spooling-agent.ts'), [JSON.stringify(plan)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }

  async crash(): Promise<void> {
    if (this.#process !== undefined) await kill(this.#process);
    this.start();
  }

  /** Makes no more flows and ends when the last is stored. */
  finish(): void {
    this.#process?.send('finish');
  }

  /** @returns its exit code */
  async done(): Promise<number | null> {
    const own = this.#process as ChildProcess;
    await ended(own);
    return own.exitCode;
  }

  numbers(word: 'begun' | 'promised'): Set<number> {
    const lines = existsSync(this.notes) ? readFileSync(this.notes, 'utf8').split('\n') : [];
    return new Set(lines.map((line) => line.split(' ')).filter(([what]) => what === word).flatMap(([, first, count]) => Array.from({ length: Number(count) }, (_, index) => Number(first) + index)));
  }
}

async function asOwner<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: urlFor(postgres.adminUrl, 'postgres', new URL(postgres.adminUrl).password, 'faults') });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

function storedNumbers(): Promise<number[]> {
  return asOwner(async (client) => (await client.query<{ bytes: string }>('SELECT bytes FROM palisade.flow WHERE tenant_id = $1', [tenantId])).rows.map((row) => Number(row.bytes)));
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'palisade-flow-faults-'));
  authority = await createTestAuthority();
  postgres = await startDatabase();
  await ensureOwner(postgres.adminUrl, secrets.owner);
  await ensureDatabase(postgres.adminUrl, 'faults');
  await migrate(urlFor(postgres.adminUrl, OWNER_ROLE, secrets.owner, 'faults'), secrets, 'source');
  port = await freePort();
  adminPort = await freePort();
  gateway = startGatewayProcess();
}, 180_000);

afterAll(async () => {
  await kill(gateway);
  await postgres.stop();
  authority.remove();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

describe('flows whose agents, gateway and database are killed', () => {
  it('are stored exactly once when they were promised, and never twice', async () => {
    const clusterId = randomUUID();
    const agents: SpoolingAgent[] = [];
    for (let number = 1; number <= AGENTS; number++) {
      const node = { tenantId, clusterId, nodeId: randomUUID() };
      await asOwner((client) => enrollNode(client, node));
      agents.push(new SpoolingAgent(number, await authority.issue(node)));
    }
    for (const agent of agents) agent.start();
    for (let round = 0; round < KILLS; round++) {
      const before = agents.reduce((sum, agent) => sum + agent.numbers('promised').size, 0);
      await vi.waitFor(() => expect(agents.reduce((sum, agent) => sum + agent.numbers('promised').size, 0)).toBeGreaterThan(before + 100), PATIENCE);
      const victim = round % 3;
      if (victim === 0) await agents[Math.floor(Math.random() * AGENTS)]?.crash();
      if (victim === 1) { await kill(gateway); gateway = startGatewayProcess(); }
      if (victim === 2) {
        await killDatabase();
        // Its port is another one now, as its address would be after a failover.
        await kill(gateway);
        gateway = startGatewayProcess();
      }
    }
    for (const agent of agents) agent.finish();
    for (const agent of agents) expect(await agent.done()).toBe(0);
    const stored = await storedNumbers();
    const all = new Set(stored);
    expect(stored.length).toBe(all.size);
    const begun = new Set(agents.flatMap((agent) => [...agent.numbers('begun')]));
    const lacking = agents.flatMap((agent) => [...agent.numbers('promised')].filter((number) => !all.has(number)));
    expect(lacking).toEqual([]);
    expect([...all].filter((number) => !begun.has(number))).toEqual([]);
  }, 300_000);
});
