/**
 * The cheapest HTTP/1.1 that Node can do, in a network namespace: `serve PORT…` answers every request with the same bytes;
 * `load HOST PORT SECONDS keep|new` asks over one connection, or over a new one for each request, one request at a time, and
 * prints `{ requests, medianUs, p99Us }`.
 */

import { connect, createServer, type Socket } from 'node:net';

const [mode, ...words] = process.argv.slice(2);
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

function serve(ports: readonly number[]): void {
  let left = ports.length;
  const ready = (): void => void ((left -= 1) === 0 && process.stdout.write('ready\n'));
  for (const port of ports) createServer((socket) => {
    socket.setNoDelay(true).on('error', () => undefined).on('data', (data: Buffer) => {
      if (data.subarray(-4).equals(Buffer.from('\r\n\r\n'))) socket.write(ANSWER);
    });
  }).listen(port, '::', ready);
}

function opened(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true }, () => resolve(socket));
    socket.once('error', reject);
  });
}

function exchange(socket: Socket, request: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let size = 0;
    const heard = (data: Buffer): void => {
      size += data.length;
      if (size < ANSWER.length) return;
      socket.off('data', heard);
      resolve();
    };
    socket.on('data', heard).once('close', () => reject(new Error('the connection ended'))).write(request);
  });
}

async function load(host: string, port: number, seconds: number, fresh: boolean): Promise<void> {
  const request = `GET /public/a HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const taken: number[] = [];
  let socket: Socket | undefined;
  const deadline = performance.now() + seconds * 1000;
  for (let start = performance.now(); start < deadline; start = performance.now()) {
    socket ??= await opened(host, port);
    await exchange(socket, request);
    taken.push((performance.now() - start) * 1000);
    if (!fresh) {
      socket.removeAllListeners('close');
      continue;
    }
    // A reset leaves no port behind: thousands of them would run out.
    socket.removeAllListeners('close').resetAndDestroy();
    socket = undefined;
  }
  socket?.destroy();
  taken.sort((one, other) => one - other);
  const at = (share: number): number => Math.round(taken[Math.floor(taken.length * share)] ?? 0);
  process.stdout.write(`${JSON.stringify({ requests: taken.length, medianUs: at(0.5), p99Us: at(0.99) })}\n`);
}

if (mode === 'serve') serve(words.map(Number));
else await load(words[0] ?? '', Number(words[1]), Number(words[2]), words[3] === 'new');
