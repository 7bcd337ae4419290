import type { ReportedEndpoint, ReportedService } from '@palisade/bundle';
import type { LocalEndpoint } from '@palisade/dataplane';
import type { UnitSelection } from './unit-source.ts';

/** An endpoint of the static source: what is reported, and where it is attached on this node. */
export interface DescribedEndpoint {
  readonly report: ReportedEndpoint;
  readonly attach: LocalEndpoint['attach'];
}

export interface EndpointFile {
  readonly endpoints: readonly DescribedEndpoint[];
  readonly services: readonly ReportedService[];
  /** Units of the node that become endpoints while they run. */
  readonly units: readonly UnitSelection[];
}

export const NO_ENDPOINTS: EndpointFile = { endpoints: [], services: [], units: [] };

/**
 * Parses the static endpoint source (JSON). Everything is checked: this file is written by hand.
 * @throws Error that names the place of the first fault
 */
export function parseEndpointFile(text: string): EndpointFile {
  const file = new Field(JSON.parse(text), '');
  const endpoints = file.get('endpoints').list().map(readEndpoint);
  const seen = new Set<string>();
  for (const { report } of endpoints) {
    if (seen.has(report.key)) throw new Error(`/endpoints: the key ${report.key} occurs twice.`);
    seen.add(report.key);
  }
  return { endpoints, services: file.get('services').list([]).map(readService), units: file.get('units').list([]).map(readUnit) };
}

function readEndpoint(item: Field): DescribedEndpoint {
  const serviceAccount = item.get('serviceAccount').text('');
  const attach = item.get('attach');
  return {
    report: {
      key: item.get('key').text(),
      namespace: item.get('namespace').text(),
      name: item.get('name').text(),
      labels: item.get('labels').texts(),
      namespaceLabels: item.get('namespaceLabels').texts(),
      ...(serviceAccount !== '' && { serviceAccount }),
      network: item.get('network').text('default'),
      addresses: item.get('addresses').list().map((address) => address.text()),
      namedPorts: Object.fromEntries(
        item.get('namedPorts').members().map(([name, port]) => [name, { port: port.get('port').port(), protocol: port.get('protocol').text('TCP') }]),
      ),
      hostNetwork: item.get('hostNetwork').flag(),
    },
    attach:
      attach.get('kind').text() === 'cgroup'
        ? { kind: 'cgroup', path: attach.get('path').text() }
        : { kind: 'interface', ifname: attach.get('ifname').text() },
  };
}

function readUnit(item: Field): UnitSelection {
  return { match: item.get('match').text(), namespace: item.get('namespace').text('host'), labels: item.get('labels').texts() };
}

function readService(item: Field): ReportedService {
  return {
    namespace: item.get('namespace').text(),
    name: item.get('name').text(),
    labels: item.get('labels').texts(),
    addresses: item.get('addresses').list().map((address) => address.text()),
    ports: item.get('ports').list([]).map((port) => ({
      port: port.get('port').port(),
      protocol: port.get('protocol').text('TCP'),
      targetPort: port.get('targetPort').port(port.get('port').port()),
    })),
    backends: item.get('backends').list([]).map((address) => address.text()),
  };
}

/** A value with its place in the file. */
class Field {
  readonly #value: unknown;
  readonly #place: string;

  constructor(value: unknown, place: string) {
    this.#value = value;
    this.#place = place;
  }

  get(name: string): Field {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.#fail('an object is needed');
    return new Field(Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined, `${this.#place}/${name}`);
  }

  members(): readonly (readonly [string, Field])[] {
    if (this.#value === undefined) return [];
    if (typeof this.#value !== 'object' || this.#value === null || Array.isArray(this.#value)) this.#fail('an object is needed');
    return Object.keys(this.#value).map((name) => [name, this.get(name)] as const);
  }

  list(otherwise?: readonly Field[]): readonly Field[] {
    if (this.#value === undefined && otherwise !== undefined) return otherwise;
    if (!Array.isArray(this.#value)) this.#fail('a list is needed');
    return (this.#value as readonly unknown[]).map((item, index) => new Field(item, `${this.#place}/${index}`));
  }

  text(otherwise?: string): string {
    if (this.#value === undefined && otherwise !== undefined) return otherwise;
    if (typeof this.#value !== 'string' || (this.#value === '' && otherwise === undefined)) this.#fail('a text is needed');
    return this.#value as string;
  }

  texts(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.members().map(([name, value]) => [name, value.text('')]));
  }

  port(otherwise?: number): number {
    if (this.#value === undefined && otherwise !== undefined) return otherwise;
    if (!Number.isInteger(this.#value) || (this.#value as number) < 1 || (this.#value as number) > 65535) this.#fail('a port from 1 to 65535 is needed');
    return this.#value as number;
  }

  flag(): boolean {
    if (this.#value !== undefined && typeof this.#value !== 'boolean') this.#fail('true or false is needed');
    return this.#value === true;
  }

  #fail(message: string): never {
    throw new Error(`${this.#place === '' ? 'The file' : this.#place}: ${message}.`);
  }
}
