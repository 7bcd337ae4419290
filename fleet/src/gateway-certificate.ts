import type { Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

/** Of those who have no certificate yet. */
export const ANONYMOUS: SecureContext = createSecureContext({ minVersion: 'TLSv1.3' });

/**
 * A node's side of TLS. Made once for each certificate: it costs more than a handshake, and ten thousand agents on two
 * cores would measure nothing else.
 */
export function nodeIdentity(certificateChain: string, privateKeyPem: string): SecureContext {
  return createSecureContext({ cert: certificateChain, key: privateKeyPem, minVersion: 'TLSv1.3' });
}

/** The gateway certificate that was verified against the CA. */
export class GatewayCertificate {
  readonly #der: Buffer;
  readonly #forget: () => void;

  constructor(der: Buffer, forget: () => void) {
    this.#der = der;
    this.#forget = forget;
  }

  /** False when the other side shows another one; the next connection then verifies again, for it may have been replaced. */
  isOf(socket: Socket): boolean {
    const shown = (socket as TLSSocket).getPeerX509Certificate()?.raw;
    const same = shown !== undefined && this.#der.equals(shown);
    if (!same) this.#forget();
    return same;
  }
}

const verified = new Map<string, Promise<GatewayCertificate>>();

/**
 * What the gateway at `url` shows, verified against `ca` and its name, once for the whole fleet.
 * @throws Error when it cannot be reached or is not trusted
 */
export function verifiedGateway(url: string, ca: string, timeoutMs: number): Promise<GatewayCertificate> {
  const key = `${url} ${ca}`;
  const known = verified.get(key) ?? verify(url, ca, timeoutMs, () => verified.delete(key));
  verified.set(key, known);
  known.catch(() => verified.delete(key));
  return known;
}

function verify(url: string, ca: string, timeoutMs: number, forget: () => void): Promise<GatewayCertificate> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ca, minVersion: 'TLSv1.3', ALPNProtocols: ['h2'], timeout: timeoutMs });
    socket.once('timeout', () => socket.destroy(new Error('the gateway took no connection in time')));
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      const { raw } = socket.getPeerX509Certificate() ?? {};
      socket.destroy();
      if (raw === undefined) reject(new Error('the gateway shows no certificate'));
      else resolve(new GatewayCertificate(raw, forget));
    });
  });
}
