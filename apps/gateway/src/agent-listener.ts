import { constants, createSecureServer, type Http2SecureServer, type Http2ServerRequest, type Http2ServerResponse, type IncomingHttpHeaders, type SecureServerOptions, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { AGENT_ROUTES } from '@palisade/protocol';

export type RequestHandler = (request: Http2ServerRequest, response: Http2ServerResponse) => void;
export type StreamHandler = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** A connection must bring its first request within this time, headers complete (trust-and-fleet §4). */
const FIRST_HEADERS_MS = 5_000;
/** Neither a request held nor a ping answered for this long: the other side is gone. */
const SILENT_SESSION_MS = 150_000;

/**
 * The HTTP/2 listener of agents. Check-ins go to their handler as bare streams, past the request and response objects of
 * the compatibility layer: ten thousand of them are held for minutes, and each such pair costs more than the stream.
 */
export function agentListener(options: SecureServerOptions, handler: RequestHandler, onCheckIn: StreamHandler, onConnections: (count: number) => void): Http2SecureServer {
  const server = createSecureServer(options, handler);
  const others = server.listeners('stream') as ((...values: unknown[]) => void)[];
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number, raw: string[]) => {
    if (headers[constants.HTTP2_HEADER_PATH] === AGENT_ROUTES.checkIn.path && headers[constants.HTTP2_HEADER_METHOD] === AGENT_ROUTES.checkIn.method) onCheckIn(stream, headers);
    else for (const other of others) other.call(server, stream, headers, flags, raw);
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
