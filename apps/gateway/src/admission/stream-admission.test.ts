import { connect, constants, createServer, type ClientHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createLogger } from '@palisade/nest-kit';
import { expect, it, vi } from 'vitest';
import { StreamAdmission } from './stream-admission.ts';

interface Answer {
  readonly status: number;
  readonly retryAfter: number;
  readonly code: string;
}

function post(session: ClientHttp2Session, body: Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    let [status, retryAfter, text] = [0, 0, ''];
    stream.once('response', (headers) => {
      status = Number(headers[constants.HTTP2_HEADER_STATUS]);
      retryAfter = Number(headers['retry-after']);
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    stream.once('error', reject);
    stream.once('close', () => resolve({ status, retryAfter, code: text === '' ? '' : (JSON.parse(text) as { code: string }).code }));
    stream.end(body);
  });
}

it('refuses what is beyond the bound with 503 and a time to come back, body unread, and takes the next when one has ended', async () => {
  const admission = new StreamAdmission(1, createLogger('test', 'fatal'));
  const taken: ServerHttp2Stream[] = [];
  const server = createServer().on('stream', (stream: ServerHttp2Stream) => void (admission.admit(stream) && taken.push(stream.resume())));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    const first = post(session, Buffer.alloc(10));
    await vi.waitFor(() => expect(taken).toHaveLength(1));
    const refused = await post(session, Buffer.alloc(1024 * 1024));
    expect(refused).toMatchObject({ status: 503, code: 'service.unavailable' });
    expect(refused.retryAfter).toBeGreaterThanOrEqual(1);
    expect(admission.figures()).toEqual({ active: 1, refused: 1 });
    taken[0]!.respond({ ':status': 200 }, { endStream: true });
    expect(await first).toMatchObject({ status: 200 });
    await vi.waitFor(() => expect(admission.figures().active).toBe(0));
    const second = post(session, Buffer.alloc(10));
    await vi.waitFor(() => expect(taken).toHaveLength(2));
    taken[1]!.respond({ ':status': 200 }, { endStream: true });
    expect(await second).toMatchObject({ status: 200 });
  } finally {
    session.destroy();
    server.close();
  }
});
