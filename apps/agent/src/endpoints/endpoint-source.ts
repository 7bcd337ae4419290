import { readFileSync, statSync } from 'node:fs';
import type { LocalEndpoint, ServiceAddress } from '@palisade/dataplane';
import { PROTOCOL_NUMBER, type Protocol } from '@palisade/policy';
import type { Log } from '../log.ts';
import type { AgentState } from '../state/agent-state.ts';
import { NO_ENDPOINTS, parseEndpointFile, type EndpointFile } from './endpoint-file.ts';

/** Where the agent learns which workloads are on its node. */
export interface EndpointSource {
  readonly current: EndpointFile;
  /** Looks again; true when something changed. */
  refresh(): boolean;
}

/** The static source: a file that is read again when it changes. A faulty edit keeps the last good content. */
export class StaticEndpointSource implements EndpointSource {
  readonly #path: string;
  readonly #log: Log;
  #stamp = '';
  current: EndpointFile = NO_ENDPOINTS;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  refresh(): boolean {
    const stamp = this.#readStamp();
    if (stamp === this.#stamp) return false;
    this.#stamp = stamp;
    try {
      this.current = stamp === '' ? NO_ENDPOINTS : parseEndpointFile(readFileSync(this.#path, 'utf8'));
      return true;
    } catch (error) {
      this.#log.error('the endpoint file is not usable; the last good content stays', { path: this.#path, reason: (error as Error).message });
      return false;
    }
  }

  #readStamp(): string {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path);
      return `${ino}:${mtimeMs}:${size}`;
    } catch {
      return '';
    }
  }
}

/**
 * Gives every endpoint its slot in the kernel's arrays: the same one while it lives, across restarts of the agent.
 * A slot that is given up is used again only when no lower one is free.
 */
export function assignSlots(file: EndpointFile, state: AgentState): readonly LocalEndpoint[] {
  const old = state.slots();
  const slots: Record<string, number> = {};
  for (const { report } of file.endpoints) {
    const slot = Object.hasOwn(old, report.key) ? old[report.key] : undefined;
    if (slot !== undefined) slots[report.key] = slot;
  }
  const taken = new Set(Object.values(slots));
  let free = 0;
  for (const { report } of file.endpoints) {
    if (slots[report.key] !== undefined) continue;
    while (taken.has(free)) free += 1;
    slots[report.key] = free;
    taken.add(free);
  }
  if (JSON.stringify(slots) !== JSON.stringify(old)) state.saveSlots(slots);
  return file.endpoints.map(({ report, attach }) => ({
    key: report.key,
    slot: slots[report.key] as number,
    attach,
    network: report.network,
    addresses: report.addresses,
  }));
}

/** Service addresses of the source: egress to them is decided on the backend. */
export function serviceAddresses(file: EndpointFile): readonly ServiceAddress[] {
  return file.services.flatMap((service) =>
    service.addresses.flatMap((address): readonly ServiceAddress[] =>
      service.ports.length === 0
        ? [{ network: 'default', address }]
        : service.ports.map(({ port, protocol, targetPort }) => ({
            network: 'default', address, port, protocol: PROTOCOL_NUMBER[protocol as Protocol] ?? PROTOCOL_NUMBER.TCP,
            backends: service.backends.filter((backend) => backend.includes(':') === address.includes(':')).map((backend) => ({ address: backend, port: targetPort })),
          })),
    ),
  );
}
