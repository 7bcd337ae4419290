import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { DescribedEndpoint, EndpointFile } from './endpoint-file.ts';
import type { EndpointSource } from './endpoint-source.ts';

/** Which units of the node's service manager become endpoints, from the endpoint file's `units`. */
export interface UnitSelection {
  /** Name of units, `*` for any run of characters: `nginx.service`, `app-*.service`. */
  readonly match: string;
  readonly namespace: string;
  /** Beside `host:unit`. */
  readonly labels: Readonly<Record<string, string>>;
}

/** What the node's own working depends on: only the static list of endpoints can name them. */
const NEVER = ['palisade-agent.service', 'kubelet.service', 'containerd.service', 'crio.service', 'docker.service', 'systemd-*.service', 'dbus*.service', 'ssh*.service', 'init.scope'] as const;
const LOOK_EVERY_MS = 1_000;
const MAX_DEPTH = 8;
const MAX_FOLDERS = 20_000;
/** Key of a report entry. */
const MAX_NAME = 128;

function pattern(glob: string): RegExp {
  return new RegExp(`^${glob.split('*').map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*')}$`);
}

const NEVER_PATTERN = NEVER.map(pattern);

/** Units below a cgroup: a folder named `….service` or `….scope` is one, and what lies inside belongs to it. */
export function findUnits(root: string): readonly { readonly name: string; readonly path: string }[] {
  const found: { readonly name: string; readonly path: string }[] = [];
  let folders = 0;
  const walk = (path: string, depth: number): void => {
    let entries: readonly { readonly name: string; isDirectory(): boolean }[];
    try {
      entries = readdirSync(path, { withFileTypes: true });
    } catch {
      return; // It ended meanwhile.
    }
    for (const entry of entries) {
      folders += entry.isDirectory() ? 1 : 0;
      if (!entry.isDirectory() || folders > MAX_FOLDERS) continue;
      const inside = join(path, entry.name);
      if (/\.(service|scope)$/.test(entry.name)) found.push({ name: entry.name, path: inside });
      else if (depth < MAX_DEPTH) walk(inside, depth + 1);
    }
  };
  walk(root, 0);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** A unit as an endpoint: no address of its own, its identity holds at its own end; peers see the host. */
function unitEndpoint(unit: { readonly name: string; readonly path: string }, selection: UnitSelection, host: string): DescribedEndpoint {
  return {
    report: {
      key: `unit/${host}/${unit.name}`,
      namespace: selection.namespace,
      name: unit.name,
      labels: { ...selection.labels, 'host:unit': unit.name },
      namespaceLabels: {},
      network: 'default',
      addresses: [],
      namedPorts: {},
      hostNetwork: false,
    },
    attach: { kind: 'cgroup', path: unit.path },
  };
}

/**
 * Units of a service manager, found where they run: in the cgroup v2 hierarchy, without D-Bus. A unit is an endpoint while
 * its cgroup exists; the first selection that matches its name describes it.
 */
export class UnitSource implements EndpointSource {
  readonly #root: string | undefined;
  readonly #selections: () => readonly UnitSelection[];
  readonly #now: () => number;
  readonly #host: string;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #stamp = '';
  current: EndpointFile = { endpoints: [], services: [], units: [] };

  /** @param root mount point of cgroup v2; undefined where there is none: no units are found */
  constructor(root: string | undefined, selections: () => readonly UnitSelection[], options: { readonly now?: () => number; readonly host?: string } = {}) {
    this.#root = root;
    this.#selections = selections;
    this.#now = options.now ?? Date.now;
    this.#host = options.host ?? hostname();
  }

  refresh(): boolean {
    const now = this.#now();
    const selections = this.#selections();
    if (this.#root === undefined || now - this.#lookedMs < LOOK_EVERY_MS || (selections.length === 0 && this.#stamp === '')) return false;
    this.#lookedMs = now;
    const endpoints = new Map<string, DescribedEndpoint>();
    const patterns = selections.map((selection) => ({ selection, pattern: pattern(selection.match) }));
    for (const unit of selections.length === 0 ? [] : findUnits(this.#root)) {
      if (unit.name.length > MAX_NAME || NEVER_PATTERN.some((never) => never.test(unit.name))) continue;
      const chosen = patterns.find((one) => one.pattern.test(unit.name));
      if (chosen === undefined) continue;
      const endpoint = unitEndpoint(unit, chosen.selection, this.#host);
      // User managers run units of the same name: the first path is the system's.
      if (!endpoints.has(endpoint.report.key)) endpoints.set(endpoint.report.key, endpoint);
    }
    const stamp = endpoints.size === 0 ? '' : JSON.stringify([...endpoints.values()]);
    if (stamp === this.#stamp) return false;
    this.#stamp = stamp;
    this.current = { endpoints: [...endpoints.values()], services: [], units: [] };
    return true;
  }
}
