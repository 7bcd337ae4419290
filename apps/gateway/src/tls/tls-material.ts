import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SecureServerOptions } from 'node:http2';

/**
 * The listener's certificate and the authorities of nodes. A client certificate is asked for, not demanded: enrolling
 * and recovering nodes have none, and every other route checks it.
 */
export function tlsOptions(dir: string): SecureServerOptions {
  return {
    cert: readFileSync(join(dir, 'server.crt')),
    key: readFileSync(join(dir, 'server.key')),
    ca: readFileSync(join(dir, 'node-ca.crt')),
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    handshakeTimeout: 10_000,
    settings: { maxConcurrentStreams: 16, maxHeaderListSize: 8192, enablePush: false, initialWindowSize: 1024 * 1024 },
    maxSessionMemory: 16,
  };
}
