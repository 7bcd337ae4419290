import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { canonicalJson } from '@palisade/bundle';
import { NodeBundleState } from '@palisade/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { OBJECT_PATH, kernelUnavailable } from './enforcer/testing/kernel-available.ts';
import { TestCgroups } from './enforcer/testing/test-cgroups.ts';
import { EMPTY_FACTS, TestControlPlane } from './testing/test-control-plane.ts';
import { allowedCalls, confined, grantedCapabilities, podCalls, podCapabilities } from './testing/unit-confinement.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const selector = { requirements: [{ key: 'k8s:app', operator: 'in', values: ['web'] }], localCluster: false };
const block = (direction: string) => ({ spec: 0, tier: 'normal', priority: 0, direction, subject: { kind: 'endpoints', selector }, isolates: true, rules: [] });
/** Denies everything of everybody who is labelled app=web. */
const DENY = { irVersion: 1, policies: [{ irVersion: 1, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'deny', revision: 1, mode: 'enforce', blocks: [block('ingress'), block('egress')] }] };

const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 50_000, interval: 50 });

describe.skipIf(unavailable)('the agent with the privileges of its unit and its pod and no others', () => {
  const id = randomBytes(3).toString('hex');
  const pinRoot = `/sys/fs/bpf/palisade/priv-${id}`;
  const subnet = `10.87.${1 + (Number.parseInt(id.slice(0, 2), 16) % 250)}`;
  let dir: string;
  let plane: TestControlPlane;
  let agent: ChildProcess;
  let cgroups: TestCgroups;
  let output = '';

  const server = createServer((socket) => socket.on('error', () => undefined).end());
  /** Whether the pod reaches a server of the node. */
  const reaches = async (): Promise<boolean> => {
    const child = spawn('nsenter', [`--net=/run/netns/pv${id}`, 'timeout', '2', 'bash', '-c', 'exec 3<>/dev/tcp/$0/$1', `${subnet}.1`, String((server.address() as AddressInfo).port)], { stdio: 'ignore' });
    return (await once(child, 'exit'))[0] === 0;
  };

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'palisade-privileges-'));
    execFileSync('ip', ['netns', 'add', `pv${id}`]);
    execFileSync('ip', ['link', 'add', `pv${id}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', `pv${id}`]);
    execFileSync('ip', ['addr', 'add', `${subnet}.1/24`, 'dev', `pv${id}`]);
    execFileSync('ip', ['link', 'set', `pv${id}`, 'up']);
    execFileSync('ip', ['-n', `pv${id}`, 'addr', 'add', `${subnet}.2/24`, 'dev', 'eth0']);
    execFileSync('ip', ['-n', `pv${id}`, 'link', 'set', 'eth0', 'up']);
    server.listen(0, `${subnet}.1`);
    await once(server, 'listening');
    cgroups = new TestCgroups(id);
    const unit = cgroups.unit('web.service');
    plane = await TestControlPlane.start();
    const object = readFileSync(OBJECT_PATH);
    await plane.publishPrograms([object]);
    const workload = (key: string, addresses: string[]) => ({ key, namespace: 'shop', name: key, identity: 1001, network: 'default', addresses, node: 'node-a' });
    await plane.publishFacts({ ...EMPTY_FACTS, identities: [{ id: 1001, labels: { 'k8s:app': 'web' } }], workloads: [workload('pod/shop/web', [`${subnet}.2`]), workload('unit/web.service', [])] });
    const report = (key: string, addresses: string[], attach: unknown) => ({ key, namespace: 'shop', name: key, labels: { app: 'web' }, addresses, attach });
    const endpoints = [report('pod/shop/web', [`${subnet}.2`], { kind: 'interface', ifname: `pv${id}` }), report('unit/web.service', [], { kind: 'cgroup', path: unit })];
    writeFileSync(join(dir, 'endpoints.json'), JSON.stringify({ endpoints }));
    writeFileSync(join(dir, 'token'), plane.token);
    const [command = '', ...words] = confined(dir);
    const run = [process.execPath, '--conditions=palisade-src', MAIN, 'run', '--state', join(dir, 'state'), '--gateway', plane.url, '--endpoints', join(dir, 'endpoints.json'), '--pin-root', pinRoot, '--enroll-token-file', join(dir, 'token'), '--trust', plane.pin, '--health-window-ms', '100'];
    agent = spawn(command, [...words, ...run], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [agent.stdout, agent.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()));
    await until(() => expect(plane.checkIns.length, output).toBeGreaterThan(0));
    expect(await reaches()).toBe(true);
    const programs = [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object }];
    await plane.offer('1.1', { programs, policy: { revision: 1, content: Buffer.from(canonicalJson(DENY)) } });
    await until(() => expect(plane.last?.observed, output).toMatchObject({ state: NodeBundleState.HEALTHY }));
  });
  afterAll(async () => {
    agent.kill('SIGTERM');
    if (agent.exitCode === null) await new Promise((resolve) => agent.once('exit', resolve));
    execFileSync(process.execPath, ['--conditions=palisade-src', MAIN, 'uninstall', '--state', join(dir, 'state'), '--pin-root', pinRoot], { stdio: 'ignore' });
    await plane.stop();
    server.close();
    execFileSync('ip', ['netns', 'del', `pv${id}`]);
    cgroups.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  it('holds CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, under a system-call filter, and can gain nothing', () => {
    expect([...grantedCapabilities()].sort()).toEqual(['bpf', 'net_admin', 'perfmon']);
    expect([...podCapabilities()].sort()).toEqual(['bpf', 'net_admin', 'perfmon']);
    const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
    const [NET_ADMIN, PERFMON, BPF] = [12n, 38n, 39n];
    const mask = ((1n << NET_ADMIN) | (1n << PERFMON) | (1n << BPF)).toString(16).padStart(16, '0');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(status).toMatch(new RegExp(`^${set}:\\s+${mask}$`, 'm'));
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
  });

  it('may call no more in a pod than as a unit', () => {
    const unit = allowedCalls();
    expect([...podCalls()].filter((name) => !unit.has(name))).toEqual([]);
  });

  it('protects pods and host units, and what it loads is enforced', async () => {
    expect(plane.last?.observed).toMatchObject({ endpointsProtected: 2, endpointsUnprotected: 0 });
    expect(await reaches()).toBe(false);
  });

  it('listens on no port of its own', () => {
    const sockets = new Set(readdirSync(`/proc/${agent.pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${agent.pid}/fd/${fd}`))?.[1] ?? [];
      } catch {
        return [];
      }
    }));
    const own = ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'].flatMap((table) =>
      readFileSync(`/proc/${agent.pid}/net/${table}`, 'utf8').split('\n').slice(1).map((line) => line.trim().split(/\s+/)).filter((fields) => sockets.has(fields[9] ?? '')).map((fields) => ({ table, state: fields[3] })),
    );
    expect(own.length).toBeGreaterThan(0); // the connection to the gateway: the table was read
    const [LISTEN, UNCONNECTED] = ['0A', '07'];
    expect(own.filter(({ table, state }) => state === LISTEN || (!table.startsWith('tcp') && state === UNCONNECTED))).toEqual([]);
  });
});
