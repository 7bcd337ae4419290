import type { AddressClass, ResolvedNode } from '@palisade/policy';
import { formatAddress, parseAddress, parsePrefix } from './abi/address.ts';
import { SERVICE, SERVICE_KEY } from './abi/layouts.ts';
import type { ServiceAddress } from './local-endpoint.ts';
import { networkNumber } from './network-number.ts';

/** Kinds of backends of one service that the kernel is told. */
const MAX_KINDS = 4;
const DNS_PORT = 53;

/** One row of the kernel's table of services: `struct service_key` and `struct service`. */
export interface ServiceRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

type Backend = NonNullable<ServiceAddress['backends']>[number];

/** The key under which a service address is found; shorter keys cover every port or a whole range. */
export function serviceKey(service: ServiceAddress): Uint8Array {
  const prefix = parsePrefix(service.address);
  const address = new Uint8Array(16);
  if (prefix.family === 4) address.set([0xff, 0xff], 10);
  address.set(prefix.bytes, prefix.family === 4 ? 12 : 0);
  const full = prefix.length === prefix.bytes.length * 8;
  const bits = (prefix.family === 4 ? 96 : 0) + prefix.length;
  const exactPort = full && service.port !== undefined && service.protocol !== undefined;
  const exactProtocol = full && service.protocol !== undefined;
  const port = exactPort ? (service.port ?? 0) : 0;
  return SERVICE_KEY.encode({
    length: 32 + bits + (exactPort ? 32 : exactProtocol ? 8 : 0),
    network: networkNumber(service.network),
    address,
    protocol: exactProtocol ? (service.protocol ?? 0) : 0,
    port_be: ((port & 0xff) << 8) | (port >> 8),
  });
}

/** One address as `resolveNode` writes it. */
function cidrOf(address: string): string {
  const { bytes, family } = parseAddress(address);
  return `${formatAddress(bytes, family)}/${family === 4 ? 32 : 128}`;
}

/** Peer classes of those of the wanted addresses that have one of their own, by network and CIDR. */
function classesOf(wanted: ReadonlySet<string>, addresses: readonly AddressClass[]): ReadonlyMap<string, number> {
  return new Map(addresses.flatMap(({ network, cidr, peerClass }): [string, number][] => (wanted.has(`${network} ${cidr}`) ? [[`${network} ${cidr}`, peerClass]] : [])));
}

/** The first backend of each kind. One whose class is not known by its own address is a kind of its own. */
function kindsOf(service: ServiceAddress, classes: ReadonlyMap<string, number>): Backend[] {
  const kinds = new Map<string, Backend>();
  for (const backend of service.backends ?? []) {
    const address = `${service.network} ${cidrOf(backend.address)}`;
    const kind = `${classes.get(address) ?? address} ${backend.port}`;
    if (!kinds.has(kind)) kinds.set(kind, backend);
    if (kinds.size > MAX_KINDS) break;
  }
  return [...kinds.values()];
}

function serviceValue(kinds: readonly Backend[]): Uint8Array {
  const address = new Uint8Array(MAX_KINDS * 16);
  const port = new Array<number>(MAX_KINDS).fill(0);
  for (const [at, backend] of kinds.slice(0, MAX_KINDS).entries()) {
    address.set(parseAddress(backend.address).bytes, at * 16);
    port[at] = backend.port;
  }
  return SERVICE.encode({ kinds: Math.min(kinds.length, MAX_KINDS), more: kinds.length > MAX_KINDS ? 1 : 0, reserved: 0, port, address });
}

/** Backends matter where content is judged, and where a DNS question may have to be answered; elsewhere asking them would only cost. */
function foretells(service: ServiceAddress, resolved: ResolvedNode): boolean {
  return resolved.l7Rules.length > 0 || service.port === DNS_PORT;
}

/** @param value `struct service` */
export function tellsBackends(value: Uint8Array): boolean {
  return SERVICE.decode(value).kinds > 0;
}

/** What the kernel is told of services. @throws RangeError for addresses that are none */
export function serviceRows(all: readonly ServiceAddress[], resolved: ResolvedNode): readonly ServiceRow[] {
  const services = all.map((service) => (foretells(service, resolved) ? service : { ...service, backends: [] }));
  const wanted = new Set(services.flatMap(({ network, backends = [] }) => backends.map(({ address }) => `${network} ${cidrOf(address)}`)));
  const classes = wanted.size === 0 ? new Map<string, number>() : classesOf(wanted, resolved.addresses);
  return services.map((service) => ({ key: serviceKey(service), value: serviceValue(kindsOf(service, classes)) }));
}
