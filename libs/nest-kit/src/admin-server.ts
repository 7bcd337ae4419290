import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import type { ListenAddress } from './config.ts';
import type { Health } from './health.ts';

export interface AdminParts {
  readonly health: Health;
  readonly metrics: Registry;
}

export interface AdminAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** `/healthz`, `/readyz` and `/metrics`; undefined for any other path. */
export async function answerAdmin(path: string, { health, metrics }: AdminParts): Promise<AdminAnswer | undefined> {
  if (path === '/healthz') return { status: 200, type: 'application/json', body: '{"status":"ok"}' };
  if (path === '/metrics') return { status: 200, type: metrics.contentType, body: await metrics.metrics() };
  if (path !== '/readyz') return undefined;
  const report = await health.readiness();
  return { status: report.status === 'ok' ? 200 : 503, type: 'application/json', body: JSON.stringify(report) };
}

/** A plain HTTP server for health and metrics, for processes whose own listener is not one. Resolves when it listens. */
export async function startAdminServer(listen: ListenAddress, parts: AdminParts): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 }, (request, response) => {
    const path = request.method === 'GET' ? (request.url ?? '').split('?')[0] ?? '' : '';
    answerAdmin(path, parts).then(
      (answer) => response.writeHead(answer?.status ?? 404, { 'content-type': answer?.type ?? 'text/plain' }).end(answer?.body ?? 'Not found\n'),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen.port, listen.host, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => closeServer(server) };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.close((error) => (error === undefined ? resolve() : reject(error)));
    server.closeAllConnections();
  });
}
