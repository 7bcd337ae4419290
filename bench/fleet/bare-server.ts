/** A bare Node HTTP/2 server with mutual TLS that does nothing: what connections cost without a gateway. */
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tlsOptions } from '../../apps/gateway/src/tls/tls-material.ts';

const dir = process.argv[2];
if (dir === undefined) throw new Error('Usage: bare-server.ts TLS_DIR');
const server = createSecureServer(tlsOptions(dir));
server.on('sessionError', () => undefined);
server.on('stream', (stream) => {
  stream.respond({ ':status': 200 });
  stream.end();
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
