import type { Socket } from 'node:net';

const EMPTY = Buffer.alloc(0);

/** What has arrived on a socket and has not been taken; the socket is read only as fast as that happens. */
export class Inlet {
  readonly #chunks: AsyncIterator<Buffer>;
  #bytes: Buffer = EMPTY;
  #pending: Promise<boolean> | undefined;
  #ended = false;

  constructor(socket: Socket) {
    this.#chunks = socket.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** The other side has said its last, or the connection broke. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Waits for more; false when none will come. Asked several times at once it is one wait. */
  fill(): Promise<boolean> {
    this.#pending ??= this.#next();
    return this.#pending;
  }

  async #next(): Promise<boolean> {
    const result = await this.#chunks.next().catch(() => ({ done: true as const, value: undefined }));
    this.#pending = undefined;
    if (result.done === true) {
      this.#ended = true;
      return false;
    }
    this.#bytes = this.#bytes.length === 0 ? result.value : Buffer.concat([this.#bytes, result.value]);
    return true;
  }

  /** Removes and returns the first `size` bytes. */
  take(size: number): Buffer {
    const taken = this.#bytes.subarray(0, size);
    this.#bytes = this.#bytes.subarray(size);
    return taken;
  }
}

/** Writes and waits until the socket takes more. @throws Error when the connection is gone */
export async function write(socket: Socket, bytes: Buffer): Promise<void> {
  if (bytes.length === 0) return;
  if (socket.destroyed || socket.writableEnded) throw new Error('the connection is gone');
  if (socket.write(bytes)) return;
  await new Promise<void>((resolve, reject) => {
    const finish = (): void => {
      socket.off('drain', finish).off('close', finish);
      if (socket.destroyed) reject(new Error('the connection is gone'));
      else resolve();
    };
    socket.on('drain', finish).on('close', finish);
  });
}
