import {
  CONNECTION, CONNECTION_TRANSLATED, VERDICT_NUMBER, connectionKey, formatAddress, parseAddress,
  type GateContext, type KernelPort, type LocalEndpoint, type ServiceAddress, type TcpConnection, type TcpEnd,
} from '@palisade/dataplane';
import type { MapSet } from '../enforcer/map-set.ts';

const TCP = 6;

function canonical(text: string): string {
  const { bytes, family } = parseAddress(text);
  return formatAddress(bytes, family);
}

function endText({ address, port }: TcpEnd): string {
  return `${canonical(address)} ${port}`;
}

/** The service addresses behind which each backend stands. */
function frontsOf(services: readonly ServiceAddress[]): ReadonlyMap<string, readonly TcpEnd[]> {
  const fronts = new Map<string, TcpEnd[]>();
  for (const { address, port, protocol, backends = [] } of services) {
    if (protocol !== TCP || port === undefined) continue;
    for (const backend of backends) {
      const key = endText(backend);
      const known = fronts.get(key);
      if (known === undefined) fronts.set(key, [{ address, port }]);
      else known.push({ address, port });
    }
  }
  return fronts;
}

/** What the kernel's connection tables say about connections at each of their ends that is an endpoint of this node. */
export class ConnectionContexts {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  readonly #endpoints: readonly LocalEndpoint[];
  readonly #services: readonly ServiceAddress[];
  #fronts: ReadonlyMap<string, readonly TcpEnd[]> | undefined;

  constructor(kernel: KernelPort, maps: MapSet, endpoints: readonly LocalEndpoint[], services: readonly ServiceAddress[]) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#endpoints = endpoints;
    this.#services = services;
  }

  /** @param connection by the ends that the gate sees: its server is a backend, whatever address the client asked for */
  of(connection: TcpConnection): GateContext[] {
    const { client, server } = connection;
    return [
      ...this.#endpointsAt(client.address).flatMap(({ slot }) => this.#at(connection, slot, 'egress') ?? this.#throughService(connection, slot)),
      ...this.#endpointsAt(server.address).flatMap(({ slot }) => this.#at(connection, slot, 'ingress') ?? []),
    ];
  }

  #endpointsAt(text: string): readonly LocalEndpoint[] {
    const address = canonical(text);
    return this.#endpoints.filter(({ addresses }) => addresses.some((own) => canonical(own) === address));
  }

  /** The client asked for a service, and its entry is about that; the entry names the backend. */
  #throughService({ client, server }: TcpConnection, slot: number): readonly GateContext[] {
    this.#fronts ??= frontsOf(this.#services);
    return (this.#fronts.get(endText(server)) ?? []).flatMap((front) => this.#at({ client, server: front }, slot, 'egress', server) ?? []).slice(0, 1);
  }

  #at(connection: TcpConnection, slot: number, direction: GateContext['direction'], backend?: TcpEnd): GateContext | undefined {
    const { family, key } = connectionKey(connection, slot);
    const found = this.#kernel.lookup(this.#maps.map(family === 4 ? 'connections4' : 'connections6'), key);
    if (found === undefined) return undefined;
    const entry = CONNECTION.decode(found);
    if (backend !== undefined) {
      const isOfBackend = (entry.flags & CONNECTION_TRANSLATED) !== 0 && entry.backend_port === backend.port;
      if (!isOfBackend || formatAddress(entry.backend.slice(0, family === 4 ? 4 : 16), family) !== canonical(backend.address)) return undefined;
    }
    const verdict = entry.verdict === VERDICT_NUMBER.l7 ? 'rules' : entry.verdict === VERDICT_NUMBER.deny ? 'deny' : 'pass';
    return { endpointSlot: slot, direction, verdict, generation: entry.generation, rules: entry.l7, ruleId: entry.rule_id, peerIdentity: entry.peer_identity };
  }
}
