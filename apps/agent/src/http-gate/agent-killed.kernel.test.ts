import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { canonicalJson } from '@palisade/bundle';
import { NodeBundleState } from '@palisade/protocol';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { GateProcess, HttpServerProcess, RawClient, RelayProcess, gateUnavailable } from '../enforcer/testing/http-processes.ts';
import { OBJECT_PATH, kernelUnavailable } from '../enforcer/testing/kernel-available.ts';
import { TestNetwork } from '../enforcer/testing/test-network.ts';
import { EMPTY_FACTS, TestControlPlane } from '../testing/test-control-plane.ts';

const unavailable = kernelUnavailable() ?? gateUnavailable();
if (unavailable) console.warn(unavailable);

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const execute = promisify(execFile);
const [WITH_RULES, PLAIN] = [8080, 8081];

/** The server takes GET /public/… on one port, and everything on the other. @param more differs from revision to revision */
function policy(revision: number, more: string): Buffer {
  const rule = (id: number, port: number, l7: object) => ({
    id, index: id, section: 'ingress', action: 'allow', peers: [{ kind: 'any' }], ports: [{ ports: [{ kind: 'range', protocol: 'TCP', first: port, last: port }], ...l7 }],
  });
  const rules = [{ method: 'GET', path: '/public/.*' }, { method: 'GET', path: more }];
  const subject = { kind: 'endpoints', selector: { requirements: [{ key: 'k8s:app', operator: 'in', values: ['server'] }], localCluster: false } };
  const block = { spec: 0, tier: 'normal', priority: 0, direction: 'ingress', isolates: true, subject, rules: [rule(1, WITH_RULES, { l7: { kind: 'http', mode: 'hard', rules } }), rule(2, PLAIN, {})] };
  return Buffer.from(canonicalJson({ irVersion: 1, policies: [{ irVersion: 1, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'read-only', revision, mode: 'enforce', blocks: [block] }] }));
}

describe.skipIf(unavailable)('an agent that is killed while the gate serves rules on HTTP', () => {
  const network = new TestNetwork(['client', 'server']);
  const [client, server] = [network.pod('client'), network.pod('server')];
  const folder = mkdtempSync(join(tmpdir(), 'palisade-killed-'));
  const gateSocket = join(folder, 'gate.sock');
  const pinRoot = `/sys/fs/bpf/palisade/test-${network.id}`;
  const object = unavailable ? Buffer.alloc(0) : readFileSync(OBJECT_PATH);
  let plane: TestControlPlane;
  let wayOut: Server;
  let agent: ChildProcess;
  let gate: GateProcess;
  let http: HttpServerProcess;
  let generation = 0;
  let output = '';
  const processes: { kill(): Promise<void> }[] = [];
  const kept = <T extends { kill(): Promise<void> }>(one: T): T => {
    processes.push(one);
    return one;
  };

  const until = <T>(check: () => T | Promise<T>) => vi.waitFor(check, { timeout: 50_000, interval: 50 });
  const namespaceOf = ({ namespace }: { namespace: string }): string => `/run/netns/${namespace}`;

  /** Status; 0 where none came. */
  async function ask(path: string, port = WITH_RULES): Promise<number> {
    const words = ['curl', '-s', '--connect-timeout', '2', '--max-time', '8', '-o', '/dev/null', '-w', '%{http_code}', `http://${server.address}:${port}${path}`];
    const said = await execute('nsenter', [`--net=${namespaceOf(client)}`, ...words]).catch((error: unknown) => error as { stdout: string });
    return Number(said.stdout);
  }
  const seen = (): (string | undefined)[] => http.requests.map(({ url }) => url);

  function startAgent(): void {
    const words = [
      'run', '--state', join(folder, 'state'), '--gateway', plane.url, '--endpoints', join(folder, 'endpoints.json'), '--pin-root', pinRoot,
      '--enroll-token-file', join(folder, 'token'), '--trust', plane.pin, '--health-window-ms', '100', '--http-gate-socket', gateSocket,
    ];
    agent = spawn('nsenter', [`--net=${network.nodePath}`, process.execPath, '--conditions=palisade-src', MAIN, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [agent.stdout, agent.stderr]) stream?.on('data', (data: Buffer) => (output += data.toString()));
  }
  async function kill(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
  async function offer(more: string): Promise<void> {
    generation += 1;
    const programs = [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object }];
    await plane.offer(`1.${generation}`, { programs, policy: { revision: generation, content: policy(generation, more) } });
  }
  const healthy = (): Promise<void> => until(() => expect(plane.last?.observed, output).toMatchObject({ state: NodeBundleState.HEALTHY, generation: { n: BigInt(generation) } }));

  beforeAll(async () => {
    chmodSync(folder, 0o755);
    network.create();
    plane = await TestControlPlane.start();
    await plane.publishPrograms([object]);
    const workloads = network.pods.map(({ name, address }, index) => ({ key: `pod/shop/${name}`, namespace: 'shop', name, identity: 1001 + index, network: 'default', addresses: [address], node: 'node-a' }));
    await plane.publishFacts({ ...EMPTY_FACTS, identities: network.pods.map(({ name }, index) => ({ id: 1001 + index, labels: { 'k8s:app': name } })), workloads });
    const endpoints = network.pods.map(({ name, address, ifname }) => ({ key: `pod/shop/${name}`, namespace: 'shop', name, labels: { app: name }, addresses: [address], attach: { kind: 'interface', ifname } }));
    writeFileSync(join(folder, 'endpoints.json'), JSON.stringify({ endpoints }));
    writeFileSync(join(folder, 'token'), plane.token, { mode: 0o600 });
    mkdirSync(join(folder, 'way'));
    const [path, port] = [join(folder, 'way', 'out.sock'), Number(new URL(plane.url).port)];
    wayOut = createServer((near) => {
      const far = connect(port, '127.0.0.1');
      near.on('error', () => far.destroy()).pipe(far);
      far.on('error', () => near.destroy()).pipe(near);
    }).listen(path);
    await kept(new RelayProcess(network.nodePath, port, path)).ready();
    http = await kept(new HttpServerProcess(namespaceOf(server), WITH_RULES)).ready();
    await kept(new HttpServerProcess(namespaceOf(server), PLAIN)).ready();
    startAgent();
    await until(() => expect(plane.checkIns.length, output).toBeGreaterThan(0));
    await offer('/first');
    await healthy();
    gate = kept(new GateProcess(network.nodePath, gateSocket));
    await until(async () => expect(await ask('/public/ready'), gate.errors).toBe(200));
  });
  afterAll(async () => {
    await kill(agent);
    execFileSync('nsenter', [`--net=${network.nodePath}`, process.execPath, '--conditions=palisade-src', MAIN, 'uninstall', '--state', join(folder, 'state'), '--pin-root', pinRoot], { stdio: 'ignore' });
    for (const one of processes) await one.kill();
    wayOut.close();
    await plane.stop();
    await network.remove();
    rmSync(folder, { recursive: true });
  });

  it('leaves open connections their rules and other traffic alone, lets no new one pass, even through another gate, and the next agent goes on', async () => {
    expect([await ask('/private'), await ask('/first'), await ask('/any', PLAIN)]).toEqual([403, 200, 200]);
    const open = await kept(new RawClient(namespaceOf(client), server.address, WITH_RULES)).connected();
    const say = (path: string): void => open.say(`GET ${path} HTTP/1.1\r\nHost: server.example\r\n\r\n`);
    say('/public/1');
    expect(await open.answers(1)).toEqual([200]);
    await kill(agent);
    say('/private');
    say('/public/2');
    expect(await open.answers(3)).toEqual([200, 403, 200]);
    expect(await ask('/public/new')).toBe(503);
    expect(await ask('/any', PLAIN)).toBe(200);

    await gate.kill();
    await open.until('the end of the connection', () => open.ended);
    gate = kept(new GateProcess(network.nodePath, gateSocket));
    await gate.until('its start', () => readlinkSync(`/proc/${gate.child.pid}/exe`).startsWith(folder));
    expect([0, 503]).toContain(await ask('/public/new'));
    expect(await ask('/any', PLAIN)).toBe(200);
    expect(seen()).not.toContain('/public/new');

    startAgent();
    await until(async () => expect(await ask('/public/back'), output + gate.errors).toBe(200));
    expect([await ask('/private'), await ask('/first')]).toEqual([403, 200]);
    expect(seen()).not.toContain('/private');
  });

  it('while it changes the policy, again and again: what no revision allows never passes, and the newest one comes into force', { timeout: 120_000 }, async () => {
    for (let round = 1; round <= 4; round += 1) {
      await offer(`/round-${round}`);
      for (let at = 0; at < round * 3; at += 1) await Promise.all([ask('/private'), ask(`/public/${round}`)]);
      await kill(agent);
      startAgent();
      await until(async () => expect(await ask(`/round-${round}`), output + gate.errors).toBe(200));
      expect(await ask(`/round-${round - 1}`)).toBe(403);
    }
    await healthy();
    expect(seen().filter((url) => !/^\/(?:public\/|round-|first)/.test(url ?? ''))).toEqual([]);
    expect(seen().filter((url) => url === '/private')).toEqual([]);
  });
});
