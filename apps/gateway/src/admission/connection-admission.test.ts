import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ConnectionAdmission } from './connection-admission.ts';

const open: (Socket | Server)[] = [];
afterEach(() => {
  for (const one of open.splice(0)) {
    if ('destroy' in one) one.destroy();
    else one.close();
  }
});

/** A pair of connected sockets: what the server sees, and the other side. */
async function pair(): Promise<{ readonly server: Socket; readonly client: Socket }> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const accepted = once(listener, 'connection') as Promise<[Socket]>;
  const client = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  const [server] = await accepted;
  open.push(listener, server, client);
  return { server, client };
}

describe('admission of connections', () => {
  it('lets so many into their handshake, and the next one when one has settled, in order', async () => {
    const admission = new ConnectionAdmission({ handshakes: 2, waiting: 10, patienceMs: 1_000 });
    const started: number[] = [];
    for (let index = 0; index < 4; index += 1) admission.admit((await pair()).server, () => started.push(index), 0);
    expect(started).toEqual([0, 1]);
    admission.settled(0);
    expect(started).toEqual([0, 1, 2]);
    admission.settled(0);
    expect(started).toEqual([0, 1, 2, 3]);
    expect(admission.figures()).toEqual({ shaking: 2, waiting: 0, refused: 0 });
  });

  it('closes those beyond the queue at once', async () => {
    const admission = new ConnectionAdmission({ handshakes: 1, waiting: 1, patienceMs: 1_000 });
    const pairs = [await pair(), await pair(), await pair()];
    for (const { server } of pairs) admission.admit(server, () => undefined, 0);
    await new Promise((resolve) => pairs[2]!.client.once('close', resolve));
    expect(admission.figures()).toEqual({ shaking: 1, waiting: 1, refused: 1 });
    expect(pairs[1]!.server.destroyed).toBe(false);
  });

  it('starts no handshake for one that has gone or waited too long', async () => {
    const admission = new ConnectionAdmission({ handshakes: 1, waiting: 10, patienceMs: 1_000 });
    const [first, gone, late, fresh] = [await pair(), await pair(), await pair(), await pair()];
    const started: string[] = [];
    admission.admit(first.server, () => started.push('first'), 0);
    admission.admit(gone.server, () => started.push('gone'), 900);
    admission.admit(late.server, () => started.push('late'), 0);
    admission.admit(fresh.server, () => started.push('fresh'), 900);
    gone.server.destroy();
    await once(gone.server, 'close');
    admission.settled(1_500);
    expect(started).toEqual(['first', 'fresh']);
    expect(admission.figures()).toEqual({ shaking: 1, waiting: 0, refused: 1 });
  });
});
