import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../log.ts';
import { AgentState } from '../state/agent-state.ts';
import { parseEndpointFile } from './endpoint-file.ts';
import { assignSlots, serviceAddresses, StaticEndpointSource } from './endpoint-source.ts';

const endpoint = (name: string) => ({ key: `pod/shop/${name}`, namespace: 'shop', name, labels: { app: name }, addresses: ['10.77.1.10'], attach: { kind: 'interface', ifname: `veth${name}` } });
const file = (...names: string[]) => JSON.stringify({ endpoints: names.map(endpoint) });

describe('the endpoint file', () => {
  it('is read with its defaults', () => {
    const { endpoints, services } = parseEndpointFile(
      JSON.stringify({ endpoints: [{ ...endpoint('a'), serviceAccount: 'web', namedPorts: { http: { port: 80 } } }], services: [{ namespace: 'shop', name: 's', addresses: ['10.96.0.1'], ports: [{ port: 80 }], backends: ['10.77.1.10'] }] }),
    );
    expect(endpoints[0]).toMatchObject({ attach: { kind: 'interface', ifname: 'vetha' }, report: { network: 'default', serviceAccount: 'web', namespaceLabels: {}, hostNetwork: false, namedPorts: { http: { port: 80, protocol: 'TCP' } } } });
    expect(services[0]?.ports).toEqual([{ port: 80, protocol: 'TCP', targetPort: 80 }]);
  });

  it.each([
    ['not JSON', '{', /JSON/],
    ['no list of endpoints', '{}', /\/endpoints/],
    ['an endpoint without a key', JSON.stringify({ endpoints: [{ ...endpoint('a'), key: undefined }] }), /\/endpoints\/0\/key/],
    ['an endpoint that is nowhere attached', JSON.stringify({ endpoints: [{ ...endpoint('a'), attach: undefined }] }), /\/endpoints\/0\/attach/],
    ['a port out of range', JSON.stringify({ endpoints: [{ ...endpoint('a'), namedPorts: { x: { port: 70000 } } }] }), /namedPorts\/x\/port/],
    ['labels that are no texts', JSON.stringify({ endpoints: [{ ...endpoint('a'), labels: { app: 1 } }] }), /labels\/app/],
    ['one key twice', file('a', 'a'), /occurs twice/],
  ])('is refused with %s, naming the place', (_what, text, message) => {
    expect(() => parseEndpointFile(text)).toThrow(message);
  });
});

describe('the static source', () => {
  let dir: string;
  let path: string;
  const lines: string[] = [];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'palisade-endpoints-'));
    path = join(dir, 'endpoints.json');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('follows the file, keeps the last good content through a faulty edit, and forgets with the file', () => {
    const source = new StaticEndpointSource(path, createLog('error', (line) => lines.push(line)));
    expect(source.refresh()).toBe(false);
    writeFileSync(path, file('a'));
    expect([source.refresh(), source.refresh()]).toEqual([true, false]);
    writeFileSync(path, '{ "endpoints": [ oops');
    expect([source.refresh(), source.current.endpoints.length]).toEqual([false, 1]);
    expect(lines.join('')).toMatch(/last good content/);
    unlinkSync(path);
    expect([source.refresh(), source.current.endpoints.length]).toEqual([true, 0]);
  });

  it('gives an endpoint one slot for as long as it lives, across restarts', () => {
    const state = new AgentState(dir);
    const slots = (...names: string[]) => Object.fromEntries(assignSlots(parseEndpointFile(file(...names)), state).map(({ key, slot }) => [key.slice(9), slot]));
    expect(slots('a', 'b', 'c')).toEqual({ a: 0, b: 1, c: 2 });
    expect(slots('a', 'c')).toEqual({ a: 0, c: 2 });
    expect(slots('c', 'd', 'a')).toEqual({ c: 2, d: 1, a: 0 });
  });

  it('names service addresses by port and protocol, with the backends of their family, or whole where no ports are given', () => {
    const services = [
      { namespace: 'a', name: 'b', addresses: ['10.96.0.1', 'fd96::1'], ports: [{ port: 53, protocol: 'UDP', targetPort: 5353 }], backends: ['10.0.0.1', 'fd00::1'] },
      { namespace: 'a', name: 'c', addresses: ['10.96.0.2'] },
    ];
    expect(serviceAddresses(parseEndpointFile(JSON.stringify({ endpoints: [], services })))).toEqual([
      { network: 'default', address: '10.96.0.1', port: 53, protocol: 17, backends: [{ address: '10.0.0.1', port: 5353 }] },
      { network: 'default', address: 'fd96::1', port: 53, protocol: 17, backends: [{ address: 'fd00::1', port: 5353 }] },
      { network: 'default', address: '10.96.0.2' },
    ]);
  });
});
