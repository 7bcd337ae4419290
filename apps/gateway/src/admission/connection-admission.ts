import type { Socket } from 'node:net';

export interface ConnectionAdmissionOptions {
  /** TLS handshakes under way at once. */
  readonly handshakes: number;
  /** Connections that may wait for theirs; more are closed, and agents come back by their backoff. */
  readonly waiting: number;
  /** Waited longer than this, the other side has given up or soon will: its handshake would be for nothing. */
  readonly patienceMs: number;
}

interface Waiting {
  readonly socket: Socket;
  readonly start: () => void;
  readonly sinceMs: number;
}

/**
 * Lets new connections into their TLS handshake a few at a time. A handshake costs a millisecond of the event loop; ten
 * thousand agents that come back at once would otherwise keep it from answering those that are back already.
 */
export class ConnectionAdmission {
  readonly #options: ConnectionAdmissionOptions;
  readonly #waiting = new Set<Waiting>();
  #shaking = 0;
  #refused = 0;

  constructor(options: ConnectionAdmissionOptions) {
    this.#options = options;
  }

  figures(): { readonly shaking: number; readonly waiting: number; readonly refused: number } {
    return { shaking: this.#shaking, waiting: this.#waiting.size, refused: this.#refused };
  }

  /** @param start begins the handshake; `settled` must be called once when it has succeeded or failed */
  admit(socket: Socket, start: () => void, nowMs = Date.now()): void {
    if (this.#shaking < this.#options.handshakes) return this.#begin(start);
    if (this.#waiting.size >= this.#options.waiting) return this.#refuse(socket);
    const waiting: Waiting = { socket, start, sinceMs: nowMs };
    this.#waiting.add(waiting);
    socket.once('close', () => this.#waiting.delete(waiting));
    // Until the handshake there is nobody else to hear of it.
    socket.on('error', () => socket.destroy());
  }

  settled(nowMs = Date.now()): void {
    this.#shaking = Math.max(0, this.#shaking - 1);
    for (const waiting of this.#waiting) {
      if (this.#shaking >= this.#options.handshakes) return;
      this.#waiting.delete(waiting);
      if (waiting.socket.destroyed) continue;
      if (nowMs - waiting.sinceMs > this.#options.patienceMs) this.#refuse(waiting.socket);
      else this.#begin(waiting.start);
    }
  }

  #begin(start: () => void): void {
    this.#shaking += 1;
    start();
  }

  #refuse(socket: Socket): void {
    this.#refused += 1;
    socket.resetAndDestroy();
  }
}
