import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../log.ts';
import { CombinedSource } from './combined-source.ts';
import { parseEndpointFile } from './endpoint-file.ts';
import { findUnits, UnitSource, type UnitSelection } from './unit-source.ts';

const select = (match: string, labels: Readonly<Record<string, string>> = {}): UnitSelection => ({ match, namespace: 'host', labels });

describe('units of the service manager', () => {
  let root: string;
  let selections: readonly UnitSelection[];
  let time = 0;
  const make = (path: string): string => (mkdirSync(join(root, path), { recursive: true }), path);
  const source = (): UnitSource => new UnitSource(root, () => selections, { now: () => time, host: 'node-1' });
  const keys = (one: UnitSource): string[] => one.current.endpoints.map(({ report }) => report.key);

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'palisade-units-'));
    time = 0;
    for (const path of ['system.slice/nginx.service', 'system.slice/system-app.slice/app@1.service/inner.scope', 'user.slice/user-1.slice/user@1.service/app.slice/nginx.service']) make(path);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('are found in the cgroup tree; what lies inside a unit is part of it', () => {
    expect(findUnits(root).map(({ name }) => name)).toEqual(['nginx.service', 'app@1.service', 'user@1.service']);
  });

  it('become endpoints of their own identity where a selection matches, the first one counts', () => {
    selections = [select('nginx.*', { tier: 'web' }), select('*', { tier: 'rest' })];
    const units = source();
    expect(units.refresh()).toBe(true);
    expect(units.current.endpoints[0]).toEqual({
      report: {
        key: 'unit/node-1/nginx.service', namespace: 'host', name: 'nginx.service', labels: { tier: 'web', 'host:unit': 'nginx.service' }, namespaceLabels: {},
        network: 'default', addresses: [], namedPorts: {}, hostNetwork: false,
      },
      attach: { kind: 'cgroup', path: join(root, 'system.slice/nginx.service') },
    });
    expect(keys(units)).toEqual(expect.arrayContaining(['unit/node-1/app@1.service']));
  });

  it('come and go with their cgroups, looked at once a second', () => {
    selections = [select('nginx.service')];
    const units = source();
    units.refresh();
    rmSync(join(root, 'system.slice/nginx.service'), { recursive: true });
    expect(units.refresh()).toBe(false);
    time = 1_000;
    expect([units.refresh(), keys(units)]).toEqual([true, []]);
    make('system.slice/nginx.service');
    time = 2_000;
    expect([units.refresh(), keys(units)]).toEqual([true, ['unit/node-1/nginx.service']]);
  });

  it('never are what the node itself lives on, whatever is selected', () => {
    for (const name of ['palisade-agent', 'kubelet', 'containerd', 'systemd-resolved', 'sshd', 'dbus-broker']) make(`system.slice/${name}.service`);
    selections = [select('*')];
    const units = source();
    units.refresh();
    expect(keys(units).sort()).toEqual(['unit/node-1/app@1.service', 'unit/node-1/nginx.service', 'unit/node-1/user@1.service']);
  });

  it('take names as they are, not as expressions', () => {
    make('system.slice/nginxxservice.service');
    selections = [select('nginx.service')];
    const units = source();
    units.refresh();
    expect(keys(units)).toEqual(['unit/node-1/nginx.service']);
  });

  it('are none without cgroup v2 or selections', () => {
    selections = [];
    expect([source().refresh(), new UnitSource(undefined, () => [select('*')]).refresh()]).toEqual([false, false]);
  });

  it('stand in the endpoint file beside endpoints, and give way to an endpoint of the same key', () => {
    const file = parseEndpointFile(JSON.stringify({ endpoints: [], units: [{ match: 'nginx.service', labels: { app: 'web' } }] }));
    expect(file.units).toEqual([{ match: 'nginx.service', namespace: 'host', labels: { app: 'web' } }]);
    selections = file.units;
    const units = source();
    const listed = { ...units.current, endpoints: [{ report: { key: 'unit/node-1/nginx.service' }, attach: { kind: 'cgroup', path: '/x' } }] } as unknown as typeof units.current;
    const lines: string[] = [];
    const both = new CombinedSource([{ current: listed, refresh: () => false }, units], createLog('warn', (line) => lines.push(line)));
    expect([both.refresh(), both.refresh()]).toEqual([true, false]);
    expect(both.current.endpoints.map(({ attach }) => attach)).toEqual([{ kind: 'cgroup', path: '/x' }]);
    expect(lines.join('')).toMatch(/two endpoint sources/);
  });
});
