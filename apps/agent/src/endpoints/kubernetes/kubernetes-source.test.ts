import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLog } from '../../log.ts';
import { issueLeaf, testAuthority } from '../../testing/test-certificates.ts';
import { inClusterAccess } from './api-client.ts';
import { KubernetesSource } from './kubernetes-source.ts';
import { TestApiServer } from './testing/api-server.ts';

const PODS = '/api/v1/pods';
const NAMESPACES = '/api/v1/namespaces';
const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';

const pod = (name: string, more: { readonly ip?: string; readonly spec?: object; readonly phase?: string } = {}) => ({
  metadata: { name, namespace: 'shop', uid: `uid-${name}`, labels: { app: name } },
  spec: { nodeName: 'node-1', serviceAccountName: 'sa', containers: [{ ports: [{ name: 'http', containerPort: 8080 }] }], ...more.spec },
  status: { phase: more.phase ?? 'Running', podIP: more.ip ?? '10.1.0.2', podIPs: [{ ip: more.ip ?? '10.1.0.2' }, { ip: 'fd00::2' }] },
});

describe('endpoints from the Kubernetes API', () => {
  let dir: string;
  let server: TestApiServer;
  let source: KubernetesSource;
  let stop: AbortController;
  let running: Promise<void>;
  const lines: string[] = [];
  const interfaces = new Map<string, string>();
  const keys = (): string[] => source.current.endpoints.map(({ report }) => report.key).sort();
  const until = <T>(check: () => T): Promise<T> => vi.waitFor(() => (source.refresh(), check()), { timeout: 10_000, interval: 10 });

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'palisade-kubernetes-'));
    const authority = await testAuthority('cluster CA');
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const leaf = await issueLeaf(authority, { spki: publicKey.export({ type: 'spki', format: 'der' }), name: { type: 'ip', value: '127.0.0.1' } });
    writeFileSync(join(dir, 'ca.crt'), authority.pem);
    writeFileSync(join(dir, 'server.crt'), leaf.pem);
    writeFileSync(join(dir, 'server.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(join(dir, 'token'), 'first\n');
    server = await TestApiServer.start({ keyFile: join(dir, 'server.key'), certFile: join(dir, 'server.crt') });
    interfaces.clear();
    lines.length = 0;
    server.put(NAMESPACES, { metadata: { name: 'shop', labels: { team: 'a' } } });
    for (const name of ['a', 'b', 'c']) server.put(PODS, pod(name));
    start();
  });
  afterEach(async () => {
    stop.abort();
    await running;
    await server.stop();
    rmSync(dir, { recursive: true });
  });

  function start(): void {
    stop = new AbortController();
    source = new KubernetesSource({
      access: { server: server.url, tokenFile: join(dir, 'token'), caFile: join(dir, 'ca.crt') },
      nodeName: 'node-1', interfaceOf: ({ name }) => interfaces.get(name) ?? '', log: createLog('debug', (line) => lines.push(line)), maxWaitMs: 20,
    });
    running = source.run(stop.signal);
  }
  const watched = (): Promise<void> => until(() => expect(server.watching).toBe(4));

  it('are the pods of this node, listed in pages, with what policy needs of them', async () => {
    await until(() => expect(keys()).toEqual(['pod/shop/a', 'pod/shop/b', 'pod/shop/c']));
    expect(source.current.endpoints[0]?.report).toEqual({
      key: 'pod/shop/a', namespace: 'shop', name: 'a', labels: { app: 'a' }, namespaceLabels: { team: 'a' }, serviceAccount: 'sa', network: 'default',
      addresses: ['10.1.0.2', 'fd00::2'], namedPorts: { http: { port: 8080, protocol: 'TCP' } }, hostNetwork: false,
    });
    const lists = server.requests.filter((line) => line.startsWith(PODS) && !line.includes('watch='));
    expect(lists).toHaveLength(2);
    for (const line of lists) expect(new URL(line, server.url).searchParams.get('fieldSelector')).toBe('spec.nodeName=node-1');
  });

  it('follow changes; host-network, ended and unaddressed pods are none', async () => {
    await watched();
    server.remove(PODS, 'shop', 'b');
    server.put(PODS, pod('d', { ip: '10.1.0.9' }));
    server.put(PODS, pod('host', { spec: { hostNetwork: true } }));
    server.put(PODS, pod('c', { phase: 'Succeeded' }));
    server.put(PODS, { ...pod('new'), status: { phase: 'Pending' } });
    await until(() => expect(keys()).toEqual(['pod/shop/a', 'pod/shop/d']));
    server.put(NAMESPACES, { metadata: { name: 'shop', labels: { team: 'b' } } });
    await until(() => expect(source.current.endpoints[0]?.report.namespaceLabels).toEqual({ team: 'b' }));
  });

  it('go on from the last bookmark when watches end or break, without listing again', async () => {
    await watched();
    server.bookmark();
    const listed = server.requests.filter((line) => !line.includes('watch=')).length;
    for (const how of ['end', 'cut', 'end'] as const) {
      server.endWatches(how);
      server.put(PODS, pod(`after-${how}-${server.requests.length}`));
      await watched();
    }
    await until(() => expect(keys()).toHaveLength(6));
    expect(server.requests.filter((line) => !line.includes('watch='))).toHaveLength(listed);
  });

  it('are listed anew after 410 Gone, also in the middle of a paged list', async () => {
    await watched();
    server.endWatches('end');
    server.remove(PODS, 'shop', 'a');
    server.compact();
    let compacted = false;
    server.intercept = (request) => {
      if (request.url?.includes('continue=') === true && !compacted) {
        compacted = true;
        server.compact();
      }
      return false;
    };
    server.put(PODS, pod('e'));
    await until(() => expect(keys()).toEqual(['pod/shop/b', 'pod/shop/c', 'pod/shop/e']));
    expect(compacted).toBe(true);
    expect(lines.join('')).toMatch(/listing again/);
  });

  it('outlive a rotated token and a server that refuses for a while, and stay as they were meanwhile', async () => {
    await watched();
    await until(() => expect(keys()).toHaveLength(3));
    server.token = 'second';
    server.endWatches('cut');
    await until(() => expect(lines.join('')).toMatch(/401/));
    expect(keys()).toHaveLength(3);
    writeFileSync(join(dir, 'token'), 'second\n');
    await watched();
    server.put(PODS, pod('f'));
    await until(() => expect(keys()).toContain('pod/shop/f'));
  });

  it('say nothing before every first list is whole', async () => {
    stop.abort();
    await running;
    server.intercept = (request, response) => {
      if (request.url?.startsWith(SLICES) !== true) return false;
      response.statusCode = 503;
      response.end('later');
      return true;
    };
    start();
    await vi.waitFor(() => expect(server.requests.filter((line) => line.startsWith(SLICES)).length).toBeGreaterThan(3));
    expect([source.refresh(), keys()]).toEqual([false, []]);
    server.intercept = undefined;
    await until(() => expect(keys()).toHaveLength(3));
  });

  it('bring services with the backends of all their slices', async () => {
    const slice = (name: string, ...endpoints: object[]) => ({ metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } }, endpoints });
    server.put(SERVICES, { metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } }, spec: { clusterIP: '10.96.0.5', clusterIPs: ['10.96.0.5'], ports: [{ port: 80, targetPort: 8080 }] } });
    server.put(SERVICES, { metadata: { name: 'headless', namespace: 'shop' }, spec: { clusterIP: 'None', ports: [{ port: 80 }] } });
    server.put(SLICES, slice('web-1', { addresses: ['10.1.0.2'], conditions: { ready: true } }, { addresses: ['10.1.0.8'], conditions: { ready: false } }));
    server.put(SLICES, slice('web-2', { addresses: ['10.1.0.3'] }, { addresses: ['10.1.0.4'], conditions: { ready: false, serving: true } }));
    await until(() =>
      expect(source.current.services).toEqual([
        { namespace: 'shop', name: 'web', labels: { app: 'web' }, addresses: ['10.96.0.5'], ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }], backends: ['10.1.0.2', '10.1.0.3', '10.1.0.4'] },
      ]),
    );
  });

  it('read what a named target port stands for from the slices', async () => {
    const labels = { 'kubernetes.io/service-name': 'dns' };
    server.put(SERVICES, { metadata: { name: 'dns', namespace: 'kube-system' }, spec: { clusterIP: '10.96.0.10', ports: [{ name: 'dns', port: 53, protocol: 'UDP', targetPort: 'dns-udp' }, { name: 'metrics', port: 9153 }, { name: 'gone', port: 7, targetPort: 'nothing' }] } });
    server.put(SLICES, { metadata: { name: 'dns-1', namespace: 'kube-system', labels }, ports: [{ name: 'dns', port: 5353, protocol: 'UDP' }, { name: 'metrics', port: 9153 }], endpoints: [{ addresses: ['10.1.0.7'] }] });
    await until(() =>
      expect(source.current.services.find(({ name, backends }) => name === 'dns' && backends.length > 0)?.ports).toEqual([
        { port: 53, protocol: 'UDP', targetPort: 5353 }, { port: 9153, protocol: 'TCP', targetPort: 9153 }, { port: 7, protocol: 'TCP', targetPort: 7 },
      ]),
    );
  });

  it('look again for an interface that is not there yet', async () => {
    await until(() => expect(keys()).toHaveLength(3));
    expect(source.current.endpoints[0]?.attach).toEqual({ kind: 'interface', ifname: '' });
    interfaces.set('a', 'veth1234');
    await until(() => expect(source.current.endpoints.find(({ report }) => report.name === 'a')?.attach).toEqual({ kind: 'interface', ifname: 'veth1234' }));
  });

  it('trust only the cluster’s authority', async () => {
    stop.abort();
    await running;
    writeFileSync(join(dir, 'ca.crt'), (await testAuthority('another CA')).pem);
    start();
    await vi.waitFor(() => expect(lines.join('')).toMatch(/certificate/i));
    expect(source.refresh()).toBe(false);
  });
});

describe('a pod’s way to the API server', () => {
  it('is in its environment', () => {
    expect(inClusterAccess({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' })?.server).toBe('https://[fd00::1]:443');
    expect(inClusterAccess({})).toBeUndefined();
  });
});
