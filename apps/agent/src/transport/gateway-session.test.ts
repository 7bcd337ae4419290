import { createServer, type AddressInfo, type Server, type Socket, connect as connectTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { problem, TestControlPlane } from '../testing/test-control-plane.ts';
import { GatewayRefused, GatewayUnreachable } from './gateway-requests.ts';
import { GatewaySession } from './gateway-session.ts';

let plane: TestControlPlane;
let session: GatewaySession;
const ask = (path = '/agent/v1/metadata/root', maxBytes = 100_000, timeoutMs = 2_000) => session.request({ method: 'GET', path, maxBytes, timeoutMs });

beforeEach(async () => {
  plane = await TestControlPlane.start();
  session = await GatewaySession.connect({ gateway: plane.url, gatewayCas: [plane.gatewayCa.pem] });
});
afterEach(async () => {
  session.close();
  await plane.stop();
});

describe('a session with the gateway', () => {
  it('gives the answer, and refuses a server that the CAs do not vouch for', async () => {
    expect((await ask()).body.length).toBeGreaterThan(100);
    const stranger = await TestControlPlane.start();
    await expect(GatewaySession.connect({ gateway: stranger.url, gatewayCas: [plane.gatewayCa.pem] })).rejects.toMatchObject({ untrusted: true, pathWorks: true });
    await stranger.stop();
  });

  it('reads problems and the time to come back', async () => {
    plane.intercept = (_path, response) => (problem(response, 503, 'service.unavailable', 'Full.', { 'retry-after': '7' }), true);
    await expect(ask()).rejects.toMatchObject({ status: 503, code: 'service.unavailable', message: 'Full.', retryAfterMs: 7000, transient: true });
    plane.intercept = (_path, response) => (response.writeHead(400, { 'content-type': 'text/html' }), response.end('<html>'), true);
    await expect(ask()).rejects.toMatchObject({ status: 400, code: '', transient: false });
  });

  it('cuts off answers that are too long, and notices those that are too short', async () => {
    await expect(ask(undefined, 10)).rejects.toBeInstanceOf(GatewayRefused);
    plane.intercept = (_path, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('short');
      response.stream.close();
      return true;
    };
    await expect(ask()).rejects.toBeInstanceOf(GatewayUnreachable);
  });

  it('ends a request that is not answered in time, and one that is given up, and goes on with others', async () => {
    plane.intercept = (path) => path.endsWith('/slow');
    await expect(ask('/agent/v1/slow', 10, 50)).rejects.toThrow(/within 50 ms/);
    const stop = new AbortController();
    const request = session.request({ method: 'GET', path: '/agent/v1/slow', maxBytes: 10, timeoutMs: 5_000, signal: stop.signal });
    stop.abort();
    await expect(request).rejects.toMatchObject({ pathWorks: false });
    expect((await ask()).status).toBe(200);
  });

  it('counts a refused connection as hearing of the other side', async () => {
    const { url } = plane;
    session.close();
    await plane.stop();
    await expect(GatewaySession.connect({ gateway: url })).rejects.toMatchObject({ pathWorks: true });
  });
});

describe('a network that swallows everything', () => {
  let proxy: Server;
  const sockets: Socket[] = [];
  const frozen = { value: false };

  beforeEach(async () => {
    frozen.value = false;
    proxy = createServer((inside) => {
      const outside = connectTcp(Number(new URL(plane.url).port), '127.0.0.1');
      sockets.push(inside, outside);
      inside.on('data', (data) => frozen.value || outside.write(data));
      outside.on('data', (data) => frozen.value || inside.write(data));
      for (const socket of [inside, outside]) socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise((resolve) => proxy.close(resolve));
  });

  const url = () => `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  it('is noticed by unanswered pings, and is not taken for hearing of the other side', async () => {
    const through = await GatewaySession.connect({ gateway: url(), gatewayCas: [plane.gatewayCa.pem], keepAliveMs: 60 });
    frozen.value = true;
    await expect(through.request({ method: 'GET', path: '/agent/v1/metadata/root', maxBytes: 100_000, timeoutMs: 5_000 })).rejects.toMatchObject({ pathWorks: false });
    await through.closed;
    expect(through.open).toBe(false);
  });

  it('ends a connection attempt in time', async () => {
    frozen.value = true;
    await expect(GatewaySession.connect({ gateway: url(), connectTimeoutMs: 80 })).rejects.toMatchObject({ pathWorks: false });
  });
});
