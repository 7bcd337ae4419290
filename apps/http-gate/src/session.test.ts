import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_HEAD } from './message-head.ts';
import { Session, type SessionPorts } from './session.ts';

const CONNECTION = { client: { address: '10.0.0.1', port: 40_000 }, server: { address: '10.0.0.2', port: 80 } };
const ENDLESS = 'HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n';
const PIECE = Buffer.alloc(65_536, 'x');
const opened: Socket[] = [];

afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy();
});

/** Both ends of one connection on the loopback interface. */
async function pair(): Promise<{ far: Socket; near: Socket }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const far = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [near] = (await once(server, 'connection')) as [Socket];
  server.close();
  for (const socket of [far, near]) opened.push(socket.on('error', () => undefined));
  return { far, near };
}

async function session(limits: { headMs?: number; idleMs?: number; lingerMs?: number }): Promise<{ client: Socket; server: Socket; down: Socket; ended: Promise<void>; statuses: number[] }> {
  const [{ far: client, near: down }, { far: server, near: up }] = [await pair(), await pair()];
  const statuses: number[] = [];
  const ports: SessionPorts = {
    policyNumber: 1, ask: () => Promise.resolve([]), judge: () => ({ allowed: true, ruleId: 1 }), report: ({ status }) => void statuses.push(status),
  };
  const ended = new Session(down, up, CONNECTION, ports, { headMs: 60_000, idleMs: 60_000, lingerMs: 60_000, ...limits }).run();
  return { client, server, down, ended, statuses };
}

/** Says `text` whenever the last of it has gone, until the connection ends. */
function endlessly(socket: Socket, text: string | Buffer): void {
  const more = (): void => void (socket.writable && socket.write(text, () => setImmediate(more)));
  more();
}

/** Everything the socket receives. */
async function all(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (data: Buffer) => (text += data.toString('latin1')));
  await once(socket, 'end');
  return text;
}

describe('a connection through the gate', () => {
  it('ends when a head is not complete in its time, though more of it keeps coming', async () => {
    const { client, server, ended } = await session({ headMs: 50, idleMs: 60_000 });
    client.write('GET / HTTP/1.1\r\nHost: a\r\nX: ');
    const drip = setInterval(() => client.write('y'), 5);
    await ended;
    clearInterval(drip);
    expect(server.bytesRead).toBe(0);
  });

  it.each(['client', 'server'] as const)('passes a reset on that the %s sends', async (side) => {
    const ends = await session({});
    const other = side === 'client' ? ends.server : ends.client;
    const failed = once(other, 'error');
    ends.client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(ends.server, 'data');
    ends[side].resetAndDestroy();
    expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
    await ends.ended;
  });

  it('ends when nobody says anything', async () => {
    const { ended, statuses } = await session({ idleMs: 50 });
    await ended;
    expect(statuses).toEqual([]);
  });

  it.each([
    ['longer than 16 KiB', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(MAX_HEAD)}`],
    ['of more than a hundred fields', `GET / HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(100)}\r\n`],
  ])('is answered 431 to a head %s, and ends', async (_, head) => {
    const { client, server, ended } = await session({ lingerMs: 50 });
    client.write(head);
    expect(await all(client)).toMatch(/^HTTP\/1\.1 431 /);
    await ended;
    expect(server.bytesRead).toBe(0);
  });

  it('ends for a client that asks and does not read the answer, and is read no faster than that client reads', async () => {
    const { client, server, down, ended, statuses } = await session({ idleMs: 200, lingerMs: 50 });
    client.pause().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    server.once('data', () => {
      server.write(ENDLESS);
      endlessly(server, PIECE);
    });
    await ended;
    expect(statuses).toEqual([200]);
    expect(down.closed).toBe(true);
    expect(down.writableLength).toBeLessThan(1024 * 1024);
  });

  it('reads a body no faster than the server does', async () => {
    const { client, server, down, ended } = await session({ idleMs: 200, lingerMs: 50 });
    server.pause();
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n');
    endlessly(client, PIECE);
    await ended;
    // What the kernel buffers on two loopback connections, and one read.
    expect(down.bytesRead).toBeLessThan(32 * 1024 * 1024);
    expect(client.bytesWritten).toBeGreaterThan(65_536);
  });

  it('ends after its last answer, though the client talks on', async () => {
    const { client, server, ended } = await session({ lingerMs: 50 });
    client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    server.once('data', () => server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
    expect(await all(client)).toMatch(/ok$/);
    const closed = new Promise((resolve) => client.once('close', resolve));
    endlessly(client, 'z');
    await Promise.all([ended, closed]);
    expect(server.bytesRead).toBeLessThan(200);
  });
});
