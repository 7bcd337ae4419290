import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ListenAddress } from '@palisade/nest-kit';
import { HEALTH_SERVICE, OBSERVER_SERVICE, ObserverService, type ObserverPorts } from './observer-service.ts';

export interface HubbleTls {
  /** PEM. */
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface RunningHubbleServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Bounds of a call and a connection; a request is a list of filters. */
const OPTIONS = {
  'grpc.max_receive_message_length': 256 * 1024,
  // More than a tenant's flow streams: the other calls of a connection that follows must still get through.
  'grpc.max_concurrent_streams': 100,
  'grpc.max_connection_idle_ms': 600_000,
  'grpc.keepalive_time_ms': 30_000,
};

function hostText(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** Serves the observer over TLS. Passwords travel here: there is no way to serve it without. */
export async function startHubbleServer(listen: ListenAddress, tls: HubbleTls, ports: ObserverPorts): Promise<RunningHubbleServer> {
  const service = new ObserverService(ports);
  const server = new Server(OPTIONS);
  server.addService(OBSERVER_SERVICE, service.implementation);
  server.addService(HEALTH_SERVICE, service.health);
  const credentials = ServerCredentials.createSsl(null, [{ cert_chain: tls.certificate, private_key: tls.key }], false);
  const port = await new Promise<number>((done, fail) => {
    server.bindAsync(`${hostText(listen.host)}:${listen.port}`, credentials, (error, bound) => (error === null ? done(bound) : fail(error)));
  });
  return { port, close: () => Promise.resolve(server.forceShutdown()) };
}
