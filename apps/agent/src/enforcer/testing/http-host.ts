/**
 * HTTP inside a network namespace, started with `nsenter --net=… node http-host.ts`:
 * `serve PORT` answers every request with its own request line and tells it on stdout, one JSON object a line;
 * `pipe HOST PORT` is a connection between stdin and stdout.
 */

import { createServer } from 'node:http';
import { connect } from 'node:net';

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
} else {
  const socket = connect(Number(words[1]), words[0] ?? '');
  socket.setNoDelay(true);
  socket.on('connect', () => process.stderr.write('connected\n'));
  socket.on('error', (error: NodeJS.ErrnoException) => process.stderr.write(`${error.code ?? error.message}\n`));
  socket.on('close', () => process.exit(0));
  process.stdin.pipe(socket).pipe(process.stdout);
}
