import { DROP_REASON } from '@palisade/flow';
import type { GateAccess, KernelFlowEvent } from '@palisade/dataplane';

const TCP = 6;

/** A request as the gate decided it, seen from each end whose rules it met. A refused one names the rule that led to the gate. */
export function accessEvents(access: GateAccess): KernelFlowEvent[] {
  const { client, server } = access.connection;
  const startedNs = BigInt(access.startedNs);
  const endedNs = BigInt(access.endedNs);
  return access.contexts
    .filter(({ verdict }) => verdict === 'rules')
    .map((context) => ({
      event: 'l7',
      ifindex: 0,
      endpointSlot: context.endpointSlot,
      direction: context.direction,
      source: client.address,
      destination: server.address,
      sourcePort: client.port,
      destinationPort: server.port,
      protocol: TCP,
      peerIdentity: context.peerIdentity,
      verdict: access.allowed ? 'redirected' : 'dropped',
      dropReason: access.allowed ? 0 : DROP_REASON['l7-denied'],
      ruleId: access.ruleId === 0 ? context.ruleId : access.ruleId,
      isReply: false,
      packets: 0n,
      bytes: 0n,
      replyPackets: 0n,
      replyBytes: 0n,
      firstSeenNs: startedNs,
      lastSeenNs: endedNs,
      tcpFlags: 0,
      rttUs: 0,
      datapathGeneration: context.generation,
      pid: 0,
      uid: 0,
      command: '',
      http: {
        kind: 'exchange',
        method: access.method,
        path: access.path,
        pathCut: false,
        host: access.host,
        status: access.status,
        latencyUs: Number((endedNs - startedNs) / 1000n),
      },
    }));
}
