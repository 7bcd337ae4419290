import { createServer, type AddressInfo } from 'node:net';

/** Whether nothing listens on a loopback port now. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once('error', () => done(undefined));
    probe.listen(port, '127.0.0.1', () => {
      const bound = (probe.address() as AddressInfo).port;
      probe.close(() => done(bound));
    });
  });
}

/** The preferred loopback port when it is free, else any free one. */
export async function freePort(preferred = 0): Promise<number> {
  const port = (await tryPort(preferred)) ?? (await tryPort(0));
  if (port === undefined) throw new Error('No loopback port is free.');
  return port;
}
