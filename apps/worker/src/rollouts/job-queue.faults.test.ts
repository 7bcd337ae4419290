import { randomUUID } from 'node:crypto';
import { createLogger } from '@palisade/nest-kit';
import type { WorkFinder } from '@palisade/store';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { RedisServer } from '../testing/redis-server.ts';
import type { TenantJob } from './fair-turns.ts';
import { openPostgresQueue, openRedisQueue, type JobQueue, type JobQueueOptions } from './job-queue.ts';
import { RolloutDispatcher } from './rollout-dispatcher.ts';

/** `./dev test` says when this machine has no redis-server; then its half is left out. */
const hasRedis = process.env['PALISADE_TEST_REDIS'] !== '0';
const backends = hasRedis ? (['postgres', 'redis'] as const) : (['postgres'] as const);

let database: TestDatabase;
let redis: RedisServer;
beforeAll(async () => {
  database = await createTestDatabase();
  if (hasRedis) redis = await RedisServer.start();
});
afterAll(async () => {
  if (hasRedis) await redis.kill();
  await database.drop();
});

const PATIENCE = { timeout: 20_000, interval: 20 };
const open = { postgres: (options: JobQueueOptions) => openPostgresQueue(database.workerUrl, options), redis: (options: JobQueueOptions) => openRedisQueue(redis.url, options) };
const job = (tenantId: string): TenantJob => ({ tenantId, id: randomUUID() });
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function queue(backend: keyof typeof open, process: (job: TenantJob) => Promise<void>): Promise<{ queue: JobQueue; settled: string[] }> {
  const settled: string[] = [];
  const opened = await open[backend]({ name: `q-${randomUUID()}`, concurrency: 4, process, onSettled: ({ id }) => settled.push(id), onError: () => undefined });
  closing.push(() => opened.close());
  return { queue: opened, settled };
}

/** A dispatcher over a list of work that stands for PostgreSQL: what is not done yet is always found again. */
async function dispatcher(backend: keyof typeof open, todo: Map<string, string>, work: (tenantId: string, id: string) => Promise<void>): Promise<RolloutDispatcher> {
  const finder = { takeOutbox: async () => [], rolloutsAtWork: async () => [...todo].map(([id, tenantId]) => ({ tenantId, id })) } as unknown as WorkFinder;
  const name = `rollouts-${randomUUID()}`;
  const made = new RolloutDispatcher({
    openQueue: (options) => open[backend]({ ...options, name }),
    work: finder,
    advance: { execute: async (context, id) => work(context.tenantId, id).then(() => 'done' as const) },
    logger: createLogger('test', 'silent'),
    perTenant: 2,
    concurrency: 4,
  });
  await made.start();
  closing.push(() => made.close());
  return made;
}

describe.each(backends)('the job queue on %s', (backend) => {
  it('hands every job to a processor once and says when it has settled', async () => {
    const seen: string[] = [];
    const { queue: jobs, settled } = await queue(backend, async ({ id }) => void seen.push(id));
    const wanted = Array.from({ length: 30 }, () => job('t'));
    for (const one of wanted) await jobs.add(one);
    await vi.waitFor(() => expect(settled).toHaveLength(30), PATIENCE);
    expect([...seen].sort()).toEqual(wanted.map(({ id }) => id).sort());
  });

  it('settles a job that failed, and takes the same job again afterwards', async () => {
    let attempts = 0;
    const { queue: jobs, settled } = await queue(backend, async () => {
      attempts += 1;
      if (attempts === 1) throw new Error('first time');
    });
    const one = job('t');
    await jobs.add(one);
    await vi.waitFor(() => expect(settled).toHaveLength(1), PATIENCE);
    await jobs.add(one);
    await vi.waitFor(() => expect(settled).toHaveLength(2), PATIENCE);
    expect(attempts).toBe(2);
  });

  it('fault 23: serves tenant B within a bounded number of jobs while tenant A has queued 1,000', async () => {
    const [a, b] = [randomUUID(), randomUUID()];
    const todo = new Map<string, string>(Array.from({ length: 1_000 }, () => [randomUUID(), a]));
    const order: string[] = [];
    let started: () => void = () => undefined;
    const running = new Promise<void>((resolve) => (started = resolve));
    const made = await dispatcher(backend, todo, async (tenantId, id) => {
      order.push(tenantId);
      todo.delete(id);
      if (order.length === 10) started();
    });
    await made.reconcile();
    await running;
    const before = order.length;
    todo.set(randomUUID(), b);
    await made.reconcile();
    await vi.waitFor(() => expect(order).toContain(b), PATIENCE);
    // Two of A run, two more may have been handed over when B came.
    expect(order.indexOf(b) - before).toBeLessThan(20);
  });
});

describe.skipIf(!hasRedis)('fault 15: Redis', () => {
  it('loses everything to FLUSHALL and a crash of some seconds, and all work is done all the same', async () => {
    const tenant = randomUUID();
    const todo = new Map<string, string>(Array.from({ length: 200 }, () => [randomUUID(), tenant]));
    const made = await dispatcher('redis', todo, async (_tenantId, id) => void todo.delete(id));
    const reconciler = setInterval(() => void made.reconcile(), 100);
    closing.push(async () => clearInterval(reconciler));
    const client = new Redis(redis.url, { maxRetriesPerRequest: null });
    client.on('error', () => undefined);
    await vi.waitFor(() => expect(todo.size).toBeLessThan(190), PATIENCE);
    await client.flushall();
    client.disconnect();
    await redis.kill();
    for (let index = 0; index < 20; index += 1) todo.set(randomUUID(), tenant);
    await redis.start();
    await vi.waitFor(() => expect(todo.size).toBe(0), { timeout: 40_000, interval: 50 });
  }, 60_000);
});
