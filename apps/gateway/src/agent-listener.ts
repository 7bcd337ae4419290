import { constants, createSecureServer, type Http2SecureServer, type Http2ServerRequest, type Http2ServerResponse, type IncomingHttpHeaders, type SecureServerOptions, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { AGENT_ROUTES } from '@palisade/protocol';
import type { ConnectionAdmission } from './admission/connection-admission.ts';
import type { StreamAdmission } from './admission/stream-admission.ts';

export type RequestHandler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;
export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export interface AgentListenerOptions {
  readonly tls: SecureServerOptions;
  /** Most connections at once; more are closed as they come. */
  readonly connections: number;
  readonly admission: ConnectionAdmission;
  /** Each kind of request has a bound of its own, so that none takes the place of another. */
  readonly streams: Readonly<Record<'flows' | 'requests' | 'downloads', StreamAdmission>>;
  readonly onRequest: RequestHandler;
  readonly onCheckIn: StreamHandler;
  readonly onConnections: (count: number) => void;
}

/** A connection must bring its first request within this time, headers complete (trust-and-fleet §4). */
const FIRST_HEADERS_MS = 5_000;
/** Neither a request held nor a ping answered for this long: the other side is gone. */
const SILENT_SESSION_MS = 150_000;

/**
 * The HTTP/2 listener of agents. Check-ins go to their handler as bare streams, past the request and response objects of
 * the compatibility layer: ten thousand of them are held for minutes, and each such pair costs more than the stream.
 */
export function agentListener({ tls, connections, admission, streams, onRequest, onCheckIn, onConnections }: AgentListenerOptions): Http2SecureServer {
  const server = createSecureServer(tls, onRequest);
  server.maxConnections = connections;
  admitConnections(server, admission);
  const others = server.listeners('stream') as ((...values: unknown[]) => void)[];
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => {
    const kind = kindOf(headers);
    if (kind === 'check-in') onCheckIn(stream, headers);
    else if (streams[kind].admit(stream)) for (const other of others) other.call(server, stream, headers, flags, raw);
  });
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session: ServerHttp2Session) => {
    sessions.add(session);
    onConnections(sessions.size);
    const first = setTimeout(() => session.destroy(), FIRST_HEADERS_MS);
    session.once('stream', () => clearTimeout(first));
    session.setTimeout(SILENT_SESSION_MS, () => session.destroy());
    session.once('close', () => {
      clearTimeout(first);
      sessions.delete(session);
      onConnections(sessions.size);
    });
  });
  server.on('sessionError', () => undefined);
  closeSessionsWith(server, sessions);
  return server;
}

function kindOf(headers: IncomingHttpHeaders): 'check-in' | 'flows' | 'requests' | 'downloads' {
  const path = headers[constants.HTTP2_HEADER_PATH];
  if (headers[constants.HTTP2_HEADER_METHOD] !== 'POST') return 'downloads';
  if (path === AGENT_ROUTES.checkIn.path) return 'check-in';
  return path === AGENT_ROUTES.flows.path ? 'flows' : 'requests';
}

/** Every handshake that was begun ends in exactly one of these two events, of a closed or timed-out connection too. */
function admitConnections(server: Http2SecureServer, admission: ConnectionAdmission): void {
  const handshakes = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => admission.admit(socket, () => { for (const handshake of handshakes) handshake.call(server, socket); }));
  server.on('secureConnection', () => admission.settled());
  server.on('tlsClientError', () => admission.settled());
}

/** `close` of an HTTP/2 server waits for its sessions; agents keep theirs for hours. */
function closeSessionsWith(server: Http2SecureServer, sessions: ReadonlySet<ServerHttp2Session>): void {
  const close = server.close.bind(server);
  server.close = (done) => {
    const closed = close(done);
    for (const session of sessions) session.close();
    setTimeout(() => sessions.forEach((session) => session.destroy()), 500).unref();
    return closed;
  };
}
