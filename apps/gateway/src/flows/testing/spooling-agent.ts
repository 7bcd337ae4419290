/**
 * The agent's flow path as a process that tests may kill: numbers its flows, puts them on the agent's real spool and sends them
 * with the agent's real sender. Before a batch goes to the spool its numbers are noted as begun, after that as promised:
 * what was promised must be stored exactly once, what was only begun at most once.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { columnsOf, type FlowRecord } from '@palisade/flow';
import { encodeFlowBatch, PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import { FlowSender, type FlowChannel } from '../../../../agent/src/flows/flow-sender.ts';
import { FlowSpool } from '../../../../agent/src/flows/flow-spool.ts';

interface Plan {
  readonly gateway: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly folder: string;
  readonly notes: string;
  /** Numbers of this process begin here. */
  readonly first: number;
}

const ROWS = 20;
const plan = JSON.parse(process.argv[2] ?? '{}') as Plan;

function numbered(bytes: number): FlowRecord {
  const end = { address: '10.0.0.1', port: 80, identity: 1000, labels: [] };
  const nowUs = Date.now() * 1000;
  return {
    event: 'delta', source: end, destination: end, protocol: 6, direction: 'egress', node: 'n', verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes, replyPackets: 0, replyBytes: 0,
    firstSeenUs: nowUs, lastSeenUs: nowUs, tcpFlags: 0, generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1,
  };
}

let session: ClientHttp2Session | undefined;
const channel: FlowChannel = {
  async post(path, body) {
    if (session === undefined || session.closed || session.destroyed) {
      session = connect(plan.gateway, { ca: plan.ca, cert: plan.cert, key: plan.key });
      session.on('error', () => undefined);
    }
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': PROTOBUF_CONTENT_TYPE });
    stream.setTimeout(5_000, () => stream.destroy(new Error('no answer')));
    stream.end(body);
    const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(part as Buffer);
    return { status: headers[':status'] ?? 0, body: Buffer.concat(parts) };
  },
};

const spool = new FlowSpool(plan.folder, () => { throw new Error('The spool is large enough for this test; nothing may be shed.'); });
const sender = new FlowSender({ spool, channel, firstBackoffMs: 50, onRefused: () => { throw new Error('A batch was refused.'); } });
sender.start();
const bootId = randomUUID();
let next = plan.first;
let making = true;
process.on('message', () => (making = false));
for (let seq = 1; making; seq++) {
  const numbers = Array.from({ length: ROWS }, () => next++);
  appendFileSync(plan.notes, `begun ${numbers[0]} ${ROWS}\n`);
  const account = { seen: ROWS, exported: ROWS, sampled: 0, dropped: {} };
  spool.add(encodeFlowBatch({ bootId, seq, windowStartUs: 1, windowEndUs: 2, account, columns: columnsOf(numbers.map(numbered)) }), seq, false);
  appendFileSync(plan.notes, `promised ${numbers[0]} ${ROWS}\n`);
  // Faster than the gateway takes them while it starts, slow enough that the spool empties soon after.
  await delay(100);
}
while (spool.length > 0) await delay(20);
await sender.stop();
session?.destroy();
process.exit(0);
