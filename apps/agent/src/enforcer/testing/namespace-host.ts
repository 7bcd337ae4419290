/**
 * A small host inside a network namespace, driven over stdin and stdout (one JSON object a line):
 * servers that echo, and clients that say what happened. Started with `nsenter --net=… node namespace-host.ts`.
 */

import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface HostRequest {
  readonly id: number;
  readonly op: 'listen-tcp' | 'listen-udp' | 'tcp' | 'udp' | 'open' | 'exchange' | 'load' | 'stop-load';
  readonly host?: string;
  readonly port?: number;
  readonly sourcePort?: number;
  readonly connection?: string;
  readonly timeoutMs?: number;
  /** `tcp`: so many bytes instead of a greeting; the answer says how many came back. */
  readonly bytes?: number;
  /** `udp`: what to send instead of a greeting, in base64. */
  readonly payload?: string;
}

export interface HostAnswer {
  readonly id: number;
  readonly ok: boolean;
  readonly detail?: string;
}

const open = new Map<string, Socket>();

interface Load {
  sent: number;
  answered: number;
  stop(): Promise<void>;
}
const loads = new Map<string, Load>();

/** Sends numbered datagrams every millisecond, each from a new socket every so often, and counts the echoes. */
function startLoad(request: HostRequest): string {
  const load: Load = { sent: 0, answered: 0, stop: async () => {} };
  const seen = new Set<number>();
  const sockets = Array.from({ length: 8 }, () => createSocket('udp4').on('error', () => {}));
  for (const socket of sockets) {
    socket.on('message', (data) => {
      seen.add(data.readUInt32LE(0));
      load.answered = seen.size;
    });
  }
  const timer = setInterval(() => {
    const data = Buffer.alloc(4);
    data.writeUInt32LE(load.sent);
    sockets[load.sent % sockets.length]?.send(data, request.port ?? 0, request.host);
    load.sent += 1;
  }, 1);
  load.stop = async () => {
    clearInterval(timer);
    for (let waited = 0; waited < 20 && load.answered < load.sent; waited += 1) await new Promise((resolve) => setTimeout(resolve, 25));
    for (const socket of sockets) socket.close();
  };
  loads.set(request.connection ?? '', load);
  return 'started';
}

async function stopLoad(name: string): Promise<string> {
  const load = loads.get(name);
  if (!load) throw new Error(`no load ${name}`);
  await load.stop();
  return JSON.stringify({ sent: load.sent, answered: load.answered });
}

function within<T>(timeoutMs: number, work: (done: (result: T) => void, fail: (reason: string) => void) => () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => finish(() => reject(new Error('timeout'))), timeoutMs);
    let cleanUp = (): void => {};
    const finish = (then: () => void): void => {
      clearTimeout(timer);
      cleanUp();
      then();
    };
    cleanUp = work(
      (result) => finish(() => resolve(result)),
      (reason) => finish(() => reject(new Error(reason))),
    );
  });
}

function echo(socket: Socket, timeoutMs: number): Promise<string> {
  return within(timeoutMs, (done, fail) => {
    const onData = (data: Buffer): void => done(data.toString());
    const onError = (error: Error): void => fail(error.message);
    const onClose = (): void => fail('closed');
    socket.once('data', onData).once('error', onError).once('close', onClose);
    socket.write('hello');
    return () => socket.off('data', onData).off('error', onError).off('close', onClose);
  });
}

function dial(request: HostRequest): Promise<Socket> {
  return within(request.timeoutMs ?? 1000, (done, fail) => {
    const socket = connect({
      host: request.host ?? '127.0.0.1',
      port: request.port ?? 0,
      ...(request.sourcePort !== undefined && { localPort: request.sourcePort }),
    });
    socket.on('error', () => {});
    const onError = (error: Error): void => fail(error.message);
    let connected = false;
    socket.once('error', onError).once('connect', () => {
      connected = true;
      done(socket);
    });
    return () => {
      socket.off('error', onError);
      if (!connected) socket.destroy();
    };
  });
}

/** Sends `count` bytes and waits until as many have come back. */
function echoBytes(socket: Socket, count: number, timeoutMs: number): Promise<string> {
  return within(timeoutMs, (done, fail) => {
    let received = 0;
    socket.on('data', (data) => {
      received += data.length;
      if (received >= count) done(String(received));
    });
    socket.once('error', (error) => fail(error.message)).once('close', () => fail('closed'));
    socket.write(Buffer.alloc(count, 'x'));
    return () => socket.removeAllListeners('data');
  });
}

async function tcp(request: HostRequest): Promise<string> {
  const socket = await dial(request);
  try {
    if (request.bytes !== undefined) return await echoBytes(socket, request.bytes, request.timeoutMs ?? 1000);
    return await echo(socket, request.timeoutMs ?? 1000);
  } finally {
    socket.destroy();
  }
}

function udp(request: HostRequest): Promise<string> {
  return within(request.timeoutMs ?? 1000, (done, fail) => {
    const socket = createSocket(request.host?.includes(':') ? 'udp6' : 'udp4');
    socket.once('message', (data) => done(data.toString())).once('error', (error) => fail(error.message));
    socket.send(request.payload === undefined ? 'hello' : Buffer.from(request.payload, 'base64'), request.port ?? 0, request.host, (error) => {
      if (error) fail(error.message);
    });
    return () => socket.close();
  });
}

function listenTcp(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.on('error', () => {}).on('data', (data) => socket.write(data)));
    server.once('error', reject).listen({ host: '::', port }, () => resolve('listening'));
  });
}

function listenUdp(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp6');
    socket.on('message', (data, from) => socket.send(data, from.port, from.address));
    socket.once('error', reject).bind(port, '::', () => resolve('listening'));
  });
}

async function answer(request: HostRequest): Promise<string> {
  if (request.op === 'listen-tcp') return listenTcp(request.port ?? 0);
  if (request.op === 'listen-udp') return listenUdp(request.port ?? 0);
  if (request.op === 'tcp') return tcp(request);
  if (request.op === 'udp') return udp(request);
  if (request.op === 'load') return startLoad(request);
  const name = request.connection ?? '';
  if (request.op === 'stop-load') return stopLoad(name);
  if (request.op === 'open') {
    open.set(name, await dial(request));
    return 'open';
  }
  const socket = open.get(name);
  if (!socket) throw new Error(`no connection ${name}`);
  return echo(socket, request.timeoutMs ?? 1000);
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line) as HostRequest;
  answer(request).then(
    (detail) => process.stdout.write(`${JSON.stringify({ id: request.id, ok: true, detail } satisfies HostAnswer)}\n`),
    (error: Error) => process.stdout.write(`${JSON.stringify({ id: request.id, ok: false, detail: error.message } satisfies HostAnswer)}\n`),
  );
}).on('close', () => process.exit(0));
