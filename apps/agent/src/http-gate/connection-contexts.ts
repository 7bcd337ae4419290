import { CONNECTION, VERDICT_NUMBER, connectionKey, formatAddress, parseAddress, type GateContext, type KernelPort, type LocalEndpoint, type TcpConnection } from '@palisade/dataplane';
import type { MapSet } from '../enforcer/map-set.ts';

function canonical(text: string): string {
  const { bytes, family } = parseAddress(text);
  return formatAddress(bytes, family);
}

function contextAt(kernel: KernelPort, maps: MapSet, connection: TcpConnection, slot: number, direction: GateContext['direction']): GateContext | undefined {
  const { family, key } = connectionKey(connection, slot);
  const found = kernel.lookup(maps.map(family === 4 ? 'connections4' : 'connections6'), key);
  if (found === undefined) return undefined;
  const { verdict, generation, l7, rule_id: ruleId, peer_identity: peerIdentity } = CONNECTION.decode(found);
  const meaning = verdict === VERDICT_NUMBER.l7 ? 'rules' : verdict === VERDICT_NUMBER.deny ? 'deny' : 'pass';
  return { endpointSlot: slot, direction, verdict: meaning, generation, rules: l7, ruleId, peerIdentity };
}

/** What the kernel's connection tables say about a connection at each of its ends that is an endpoint of this node. */
export function connectionContexts(kernel: KernelPort, maps: MapSet, endpoints: readonly LocalEndpoint[], connection: TcpConnection): GateContext[] {
  const ends = [
    { address: canonical(connection.client.address), direction: 'egress' },
    { address: canonical(connection.server.address), direction: 'ingress' },
  ] as const;
  return ends.flatMap(({ address, direction }) =>
    endpoints
      .filter(({ addresses }) => addresses.some((own) => canonical(own) === address))
      .flatMap(({ slot }) => contextAt(kernel, maps, connection, slot, direction) ?? []),
  );
}
