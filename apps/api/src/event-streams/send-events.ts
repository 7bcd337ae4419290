import { once } from 'node:events';
import type { FastifyReply } from 'fastify';

/**
 * Answers with server-sent events (HTML standard, §9.2) until `events` ends or the client goes away. A slow reader slows its
 * own stream down, nothing else: the next text is asked for when the last one has found room.
 *
 * @param events texts in the form of the event stream; stops when its signal does
 * @param brokeOff told of an error after the head was sent, when no other answer is possible any more
 */
export async function sendEvents(reply: FastifyReply, events: (gone: AbortSignal) => AsyncIterable<string>, brokeOff: (error: unknown) => void): Promise<void> {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  reply.hijack();
  reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  reply.raw.flushHeaders();
  try {
    for await (const text of events(gone.signal)) {
      if (!reply.raw.write(text)) await once(reply.raw, 'drain', { signal: gone.signal }).catch(() => undefined);
    }
  } catch (error) {
    brokeOff(error);
  } finally {
    reply.raw.end();
  }
}
