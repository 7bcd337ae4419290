import { describe, expect, it } from 'vitest';
import { startAdminServer } from './admin-server.ts';
import { Health } from './health.ts';
import { createMetrics } from './metrics.ts';

describe('Health', () => {
  it('is unavailable while one check fails, and stopping once the process stops', async () => {
    let works = false;
    const health = new Health({ database: () => (works ? Promise.resolve() : Promise.reject(new Error('no'))), queue: () => Promise.resolve() });
    expect(await health.readiness()).toEqual({ status: 'unavailable', checks: { database: 'failed', queue: 'ok' } });
    works = true;
    expect(await health.readiness()).toEqual({ status: 'ok', checks: { database: 'ok', queue: 'ok' } });
    health.stop();
    expect((await health.readiness()).status).toBe('stopping');
  });
});

describe('the admin server', () => {
  it('serves liveness, readiness and metrics, and nothing else', async () => {
    const server = await startAdminServer({ host: '127.0.0.1', port: 0 }, { health: new Health({ never: () => Promise.reject(new Error('no')) }), metrics: createMetrics('test') });
    try {
      const status = async (path: string) => (await fetch(`http://127.0.0.1:${server.port}${path}`)).status;
      expect(await Promise.all(['/healthz', '/readyz', '/metrics', '/', '/healthz/x'].map(status))).toEqual([200, 503, 200, 404, 404]);
      const metrics = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
      expect(metrics).toContain('service="test"');
    } finally {
      await server.close();
    }
  });
});
