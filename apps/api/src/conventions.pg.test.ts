import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from './testing/api-under-test.ts';
import { ProbeController, UndeclaredController } from './testing/probe.controller.ts';

let api: ApiUnderTest;
let tenant: TestTenant;

beforeAll(async () => {
  api = await startApi({}, [ProbeController, UndeclaredController]);
  tenant = await api.tenant('acme');
});
afterAll(() => api.close());

const get = (path: string) => api.request.get(path).set('authorization', tenant.authorization);

describe('an answer', () => {
  it('is stripped of every field that its schema does not name', async () => {
    const response = await get('/v1/probe/leak').expect(200);
    expect(response.body).toEqual({ name: 'x', inner: { kept: 1 } });
  });

  it('that does not match its schema becomes an error without its content', async () => {
    const response = await get('/v1/probe/malformed').expect(500);
    expect(response.text).not.toContain('never');
  });

  it('carries the request id of the caller when it is harmless, else a new one', async () => {
    expect((await get('/v1/clusters').set('x-request-id', 'trace-1')).headers['x-request-id']).toBe('trace-1');
    expect((await get('/v1/clusters').set('x-request-id', 'a b"c')).headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('an unexpected error', () => {
  it('tells the caller nothing but the request id, and the log everything', async () => {
    const response = await api.request.post('/v1/probe/fail').set('authorization', tenant.authorization).set('x-request-id', 'find-me').expect(500);
    expect(response.body).toMatchObject({ code: 'internal.unexpected', instance: 'urn:request:find-me' });
    expect(response.text).not.toContain('hunter2');
    expect(api.logs.some((line) => line.includes('find-me') && line.includes('hunter2'))).toBe(true);
  });
});

describe('a route without a declared permission', () => {
  it('is closed to everybody', async () => {
    const response = await get('/v1/undeclared').expect(500);
    expect(response.text).not.toContain('open to everybody');
    await api.request.get('/v1/undeclared').expect(500);
  });
});

describe('health and metrics', () => {
  it('need no token', async () => {
    await api.request.get('/healthz').expect(200, { status: 'ok' });
    await api.request.get('/readyz').expect(200, { status: 'ok', checks: { database: 'ok' } });
    const metrics = await api.request.get('/metrics').expect(200);
    expect(metrics.text).toMatch(/palisade_http_request_duration_seconds_count\{.*route="\/v1\/probe\/leak".*\} 1/);
  });

  it('say that the process is stopping before it closes', async () => {
    api.health.stop();
    await api.request.get('/readyz').expect(503, { status: 'stopping', checks: {} });
  });
});

describe('a tenant above its rate', () => {
  it('gets 429 with Retry-After, and the others are served', async () => {
    // One request at once and one more every four seconds: too slow to depend on how fast this machine is.
    const slow = await startApi({ PALISADE_API_RATE: 0.25 });
    try {
      const [one, other] = [await slow.tenant('one'), await slow.tenant('other')];
      const answers = await Promise.all(Array.from({ length: 5 }, () => slow.request.get('/v1/clusters').set('authorization', one.authorization)));
      const limited = answers.filter(({ status }) => status === 429);
      expect(limited.length).toBeGreaterThan(0);
      expect(limited[0]?.body.code).toBe('request.rate-limited');
      expect(Number(limited[0]?.headers['retry-after'])).toBeGreaterThan(0);
      await slow.request.get('/v1/clusters').set('authorization', other.authorization).expect(200);
    } finally {
      await slow.close();
    }
  });
});
