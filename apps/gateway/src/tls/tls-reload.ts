import { statSync } from 'node:fs';
import type { Http2SecureServer, SecureServerOptions } from 'node:http2';
import { join } from 'node:path';

const FILES = ['server.crt', 'server.key', 'node-ca.crt'] as const;

/**
 * Takes new certificates and authorities from the folder while connections go on: an authority is replaced without a
 * restart, and nothing is dropped. Files that do not belong together yet are tried again with the next look.
 * @returns what ends the watching
 */
export function reloadTls(server: Http2SecureServer, dir: string, read: (dir: string) => SecureServerOptions, onEvent: (event: { readonly ok: boolean; readonly error?: unknown }) => void, everyMs = 5_000): () => void {
  let loaded = stampOf(dir);
  const timer = setInterval(() => {
    const stamp = stampOf(dir);
    if (stamp === loaded || stamp === '') return;
    try {
      const { cert, key, ca } = read(dir);
      server.setSecureContext({ ...(cert && { cert }), ...(key && { key }), ...(ca && { ca }), minVersion: 'TLSv1.3' });
      loaded = stamp;
      onEvent({ ok: true });
    } catch (error) {
      onEvent({ ok: false, error });
    }
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Empty while a file is missing, for it is being replaced. */
function stampOf(dir: string): string {
  try {
    return FILES.map((file) => statSync(join(dir, file), { bigint: true })).map((stat) => `${stat.ino}.${stat.mtimeNs}.${stat.size}`).join(' ');
  } catch {
    return '';
  }
}
