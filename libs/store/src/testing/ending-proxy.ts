import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** ReadyForQuery, idle (PostgreSQL documentation, 54.7): the last message of a connection's opening. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

export interface EndingProxy {
  /** The database's URL with the proxy's address. */
  readonly url: string;
  close(): Promise<void>;
}

/** Waits until the server has sent ReadyForQuery, has the connection ended, and passes on both at once. */
async function endAtOnce(client: Socket, server: Socket, endConnections: () => Promise<unknown>): Promise<void> {
  client.pipe(server);
  let held = Buffer.alloc(0);
  let open = false;
  for await (const chunk of server as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, chunk]);
    if (!open && held.subarray(-READY.length).equals(READY)) {
      open = true;
      await endConnections();
    } else if (!open) {
      // Passwords are asked for and answered in turns.
      client.write(held);
      held = Buffer.alloc(0);
    }
  }
  client.end(held);
}

/**
 * A server in front of PostgreSQL whose connections all end in the moment they are ready: a client reads
 * both in one piece, as it does when an administrator ends connections, or a server stops, just then.
 * @param endConnections asks the server to end them, for example with `pg_terminate_backend`
 */
export async function endingProxy(databaseUrl: string, endConnections: () => Promise<unknown>): Promise<EndingProxy> {
  const target = new URL(databaseUrl);
  const proxy = createServer((client) => {
    const server = connect(Number(target.port), target.hostname);
    client.on('error', () => server.destroy());
    server.on('error', () => client.destroy());
    endAtOnce(client, server, endConnections).catch(() => client.destroy());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = new URL(databaseUrl);
  url.hostname = '127.0.0.1';
  url.port = String((proxy.address() as AddressInfo).port);
  return { url: url.href, close: async () => void (await once(proxy.close(), 'close')) };
}
