/** Sockets with a client's address, through the addon (native/sockets.c). */

import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { gatePort, type TcpConnection } from '@palisade/dataplane';

interface GateAddon {
  transparentSocket(listener: number, address: string, port: number): number;
}

/** Where `native/build.sh` puts the addon; the same from sources and from the compiled package. */
const ADDON_PATH = fileURLToPath(new URL('../build/palisade_gate.node', import.meta.url));
const CONNECT_MS = 10_000;

/** Opens connections to servers in the name of clients. `listener4`, `listener6`: descriptors of transparent listeners. */
export class UpstreamDialer {
  readonly #addon: GateAddon;
  readonly #listeners: { readonly 4: number; readonly 6: number };

  constructor(listener4: number, listener6: number) {
    this.#addon = createRequire(import.meta.url)(ADDON_PATH) as GateAddon;
    this.#listeners = { 4: listener4, 6: listener6 };
  }

  /** A connection from the client's address, on the gate's own port. @throws Error when the server cannot be reached, or the ends are in use here */
  dial({ client, server }: TcpConnection): Promise<Socket> {
    const fd = this.#addon.transparentSocket(this.#listeners[client.address.includes(':') ? 6 : 4], client.address, gatePort(client.port));
    const socket = new Socket({ fd, allowHalfOpen: true, readable: true, writable: true });
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        socket.destroy();
        reject(error);
      };
      socket.setTimeout(CONNECT_MS, () => failed(new Error('the server does not answer')));
      socket.once('error', failed).connect({ host: server.address, port: server.port }, () => {
        socket.off('error', failed).setTimeout(0);
        resolve(socket);
      });
    });
  }
}
