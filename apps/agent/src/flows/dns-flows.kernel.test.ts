import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addAccounts, EMPTY_ACCOUNT, flowAt, isBalanced, type FlowRecord } from '@palisade/flow';
import { decodeFlowBatch } from '@palisade/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dnsMessage, dnsPacket, type DnsMessage } from '../enforcer/testing/dns-message.ts';
import { kernelUnavailable } from '../enforcer/testing/kernel-available.ts';
import { PacketLab } from '../enforcer/testing/packet-lab.ts';
import { PROTOCOL, frame, ipv4, tcp } from '../enforcer/testing/packet.ts';
import { entry, resolvedNode } from '../enforcer/testing/resolved-fixture.ts';
import { FlowExporter } from './flow-exporter.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const [OWN, RESOLVER, SITE] = ['10.1.0.1', '10.2.0.53', '192.0.2.80'];

describe.skipIf(unavailable)('DNS from the kernel to the batch', () => {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-dns-'));
  const resolved = resolvedNode(
    { 'pod/lab/subject': [entry('egress', 0, 0, 0, 'deny', 1), entry('egress', 5, PROTOCOL.udp, 53, 'allow', 2), entry('egress', 1, PROTOCOL.tcp, 443, 'allow', 4)] },
    [{ cidr: `${RESOLVER}/32`, peerClass: 5, identity: 900 }, { cidr: '0.0.0.0/0', peerClass: 1, identity: 2 }],
  );
  let lab: PacketLab;
  let exporter: FlowExporter;
  beforeAll(async () => {
    lab = new PacketLab();
    await lab.applyNode(resolved);
    const endpoints = [{ key: 'pod/lab/subject', slot: 1, attach: { kind: 'interface', ifname: 'lo' }, network: 'default', addresses: [OWN] }] as const;
    exporter = new FlowExporter({ events: lab.enforcer, folder, knowledge: () => ({ nodeName: 'lab', endpoints, resolved, generation: '1.1' }) });
  });
  afterAll(async () => {
    exporter.close();
    await lab.remove();
    rmSync(folder, { recursive: true });
  });

  const asks = (port: number, message: DnsMessage, resolver = RESOLVER): boolean => lab.sends(frame(ipv4({ from: OWN, to: resolver }, PROTOCOL.udp, dnsPacket(port, 53, dnsMessage(message)))));

  it('names what was asked, what the answer led to, and what was not let through', async () => {
    asks(4000, { id: 1, name: 'shop.example' });
    lab.receives(frame(ipv4({ from: RESOLVER, to: OWN }, PROTOCOL.udp, dnsPacket(53, 4000, dnsMessage({ id: 1, name: 'shop.example', answers: [{ type: 'A', address: SITE }] })))));
    expect(lab.sends(frame(ipv4({ from: OWN, to: SITE }, PROTOCOL.tcp, tcp(5000, 443))))).toBe(true);
    expect(asks(4001, { id: 2, name: 'exfiltrate.test' }, '198.51.100.53')).toBe(false);
    await exporter.drain();
    await exporter.flush();

    const batches = exporter.spool.oldest(10, new Set()).map((batch) => decodeFlowBatch(exporter.spool.read(batch) as Uint8Array));
    const flows: FlowRecord[] = batches.flatMap(({ columns }) => Array.from({ length: columns.rows }, (_, row) => flowAt(columns, row)));
    expect(flows.filter(({ event }) => event === 'dns')).toEqual([
      expect.objectContaining({ verdict: 'forwarded', dns: expect.objectContaining({ query: 'shop.example', addresses: [SITE], rcode: 0, latencyUs: expect.any(Number) }) }),
    ]);
    expect(flows).toContainEqual(expect.objectContaining({ event: 'new', destination: expect.objectContaining({ address: SITE, port: 443, dnsNames: ['shop.example'] }) }));
    expect(flows.filter(({ verdict }) => verdict === 'dropped')).toEqual([expect.objectContaining({ event: 'dropped', dns: { query: 'exfiltrate.test', addresses: [], rcode: 5 } })]);
    const account = batches.map((batch) => batch.account).reduce(addAccounts, EMPTY_ACCOUNT);
    expect([isBalanced(account), account.seen]).toEqual([true, flows.length]);
  });
});
