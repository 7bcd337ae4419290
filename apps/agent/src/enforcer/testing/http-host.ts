/**
 * HTTP inside a network namespace, started with `nsenter --net=… node http-host.ts`:
 * `serve PORT` answers every request with its own request line and tells it on stdout, one JSON object a line;
 * `pipe HOST PORT` is a connection between stdin and stdout;
 * `crowd HOST PORT COUNT` tries to open so many connections, says on each what comes on stdin, and tells on stdout how many
 * ended and how many answers came;
 * `relay PORT PATH` passes connections to the loopback interface on to a UNIX socket, which reaches out of the namespace.
 */

import { createServer } from 'node:http';
import { connect, createServer as createRelay, type Socket } from 'node:net';

const [mode, ...words] = process.argv.slice(2);

if (mode === 'serve') {
  const server = createServer((request, response) => {
    let size = 0;
    request.on('data', (chunk: Buffer) => (size += chunk.length));
    request.on('end', () => {
      const { method, url, headers } = request;
      process.stdout.write(`${JSON.stringify({ method, url, host: headers.host, from: request.socket.remoteAddress, port: request.socket.remotePort, size })}\n`);
      response.end(`${method} ${url}\n`);
    });
  });
  server.on('upgrade', (request, socket) => {
    process.stdout.write(`${JSON.stringify({ method: 'UPGRADE', url: request.url })}\n`);
    socket.on('error', () => undefined).pipe(socket);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  });
  server.keepAliveTimeout = 60_000;
  server.listen(Number(words[0]), '::', () => process.stdout.write('{"method":"READY"}\n'));
} else if (mode === 'crowd') {
  const [host = '', port, count] = words;
  const crowd = new Set<Socket>();
  let [tried, answers] = [0, 0];
  const tell = (): void => void process.stdout.write(`${JSON.stringify({ ended: tried - crowd.size, answers })}\n`);
  // One after the other, so that no backlog on the way decides who gets through.
  const next = (): void => {
    if (tried === Number(count)) return;
    tried += 1;
    const socket = connect(Number(port), host, next);
    crowd.add(socket);
    socket.on('data', (data: Buffer) => {
      answers += data.toString('latin1').split('HTTP/1.1 200').length - 1;
      tell();
    });
    socket.on('error', () => undefined).on('close', () => {
      crowd.delete(socket);
      tell();
    });
  };
  next();
  process.stdin.on('data', (data) => crowd.forEach((socket) => socket.write(data)));
} else if (mode === 'relay') {
  createRelay((near) => {
    const far = connect(words[1] ?? '');
    near.on('error', () => far.destroy()).pipe(far);
    far.on('error', () => near.destroy()).pipe(near);
  }).listen(Number(words[0]), '127.0.0.1', () => process.stdout.write('{"method":"READY"}\n'));
} else {
  const socket = connect(Number(words[1]), words[0] ?? '');
  socket.setNoDelay(true);
  socket.on('connect', () => process.stderr.write('connected\n'));
  socket.on('error', (error: NodeJS.ErrnoException) => process.stderr.write(`${error.code ?? error.message}\n`));
  socket.on('close', () => process.exit(0));
  process.stdin.pipe(socket).pipe(process.stdout);
}
