import { randomUUID } from 'node:crypto';
import { createPostgresBackend, Queue, runMigrations, withBackend, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { TenantJob } from './fair-turns.ts';

/** A queue that carries ids and only wakes: what it forgets is found in PostgreSQL again. */
export interface JobQueue {
  add(job: TenantJob): Promise<void>;
  close(): Promise<void>;
}

export interface JobQueueOptions {
  readonly name: string;
  readonly concurrency: number;
  readonly process: (job: TenantJob) => Promise<void>;
  /** The job has ended in this process, well or not. */
  readonly onSettled: (job: TenantJob) => void;
  readonly onError: (error: unknown) => void;
}

const SCHEMA = 'bullmq';
/** A waiting job is there once; an ended one leaves nothing behind. */
const ADD_OPTIONS = { removeOnComplete: true, removeOnFail: true, attempts: 1 } as const;

/** The embedded default: BullMQ's own tables in PostgreSQL, one small pool. */
export async function openPostgresQueue(url: string, options: JobQueueOptions): Promise<JobQueue> {
  await migrateQueue(url);
  const bound = withBackend(createPostgresBackend);
  const connection = { connectionString: url, schema: SCHEMA, max: 4, application_name: 'palisade-worker-queue' };
  const queue = new bound.Queue<TenantJob>(options.name, { connection });
  const worker = new bound.Worker<TenantJob>(options.name, (job) => options.process(job.data), { connection, concurrency: options.concurrency });
  return bind(queue, worker, options);
}

/** The production path: Redis 7+ or Valkey. */
export async function openRedisQueue(url: string, options: JobQueueOptions): Promise<JobQueue> {
  const connect = (): Redis => {
    const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: (attempt) => Math.min(attempt * 100, 2_000) });
    client.on('error', options.onError);
    return client;
  };
  const clients = [connect(), connect()] as const;
  const queue = new Queue<TenantJob>(options.name, { connection: clients[0] });
  const worker = new Worker<TenantJob>(options.name, (job) => options.process(job.data), { connection: clients[1], concurrency: options.concurrency });
  const bound = bind(queue, worker, options);
  return {
    add: (job) => bound.add(job),
    async close() {
      await bound.close();
      for (const client of clients) client.disconnect();
    },
  };
}

interface Emitter {
  on(event: 'error', handler: (error: Error) => void): unknown;
}
interface BoundQueue extends Emitter {
  add(name: string, data: TenantJob, options: typeof ADD_OPTIONS & { jobId: string }): Promise<unknown>;
  close(): Promise<void>;
}
interface BoundWorker extends Emitter {
  on(event: 'error', handler: (error: Error) => void): unknown;
  on(event: 'completed', handler: (job: { data: TenantJob }) => void): unknown;
  on(event: 'failed', handler: (job: { data: TenantJob } | undefined, error: Error) => void): unknown;
  close(force?: boolean): Promise<void>;
}

/** A job of a process that was killed stays taken until its lock runs out; it must not keep this process from its own. */
const INSTANCE = randomUUID();

function bind(queue: BoundQueue, worker: BoundWorker, options: JobQueueOptions): JobQueue {
  queue.on('error', options.onError);
  worker.on('error', options.onError);
  worker.on('completed', (job) => options.onSettled(job.data));
  worker.on('failed', (job, error) => {
    options.onError(error);
    if (job !== undefined) options.onSettled(job.data);
  });
  return {
    async add(job) {
      await queue.add('advance', job, { ...ADD_OPTIONS, jobId: `advance-${job.id}-${INSTANCE}` });
    },
    async close() {
      await worker.close();
      await queue.close();
    },
  };
}

/** The worker's role may make tables in this schema and no schema of its own, so that statement is left out where it exists. */
async function migrateQueue(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'palisade-worker-queue' });
  await client.connect();
  try {
    const { rows } = await client.query<{ known: boolean }>('SELECT to_regnamespace($1) IS NOT NULL AS known', [SCHEMA]);
    const known = rows[0]?.known ?? false;
    const query = async (text: string, values?: unknown[]): Promise<pg.QueryResult> =>
      known && text.startsWith('CREATE SCHEMA') ? client.query('SELECT') : client.query(text, values);
    await runMigrations({ query } as Parameters<typeof runMigrations>[0], SCHEMA);
  } finally {
    await client.end();
  }
}
