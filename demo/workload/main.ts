/** A workload of the demo: a small HTTP server, and clients that call its peers. Runs in a namespace of its own. */
import { createServer } from 'node:http';
import type { CountsReply, CountsRequest, ReadyReply, WorkloadConfig } from './protocol.ts';
import { RequestStream } from './stream.ts';

const config = JSON.parse(process.argv[2] ?? '') as WorkloadConfig;
const streams = config.streams.map((plan) => new RequestStream(plan));
let served = 0;

const server = createServer((_request, response) => {
  served += 1;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ workload: config.name, served }));
});
// A server that closes an idle connection races with the client's next request; that is not what the demo measures.
server.keepAliveTimeout = 0;
server.listen(config.listenPort, '0.0.0.0', () => process.send?.({ ready: true } satisfies ReadyReply));

process.on('message', (message: CountsRequest | { readonly ask: 'start' }) => {
  if (message.ask === 'start') {
    for (const stream of streams) stream.start();
    return;
  }
  const reply: CountsReply = { serial: message.serial, served, streams: streams.map((stream) => stream.counts()) };
  process.send?.(reply);
});
process.once('disconnect', () => process.exit(0));
