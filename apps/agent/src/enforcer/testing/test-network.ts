import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HostAnswer, HostRequest } from './namespace-host.ts';

const HOST_PROGRAM = fileURLToPath(new URL('./namespace-host.ts', import.meta.url));

function run(command: string, ...words: string[]): string {
  return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** One workload: a network namespace behind a veth pair whose host side lies in the node's namespace. */
export class TestPod {
  readonly name: string;
  readonly namespace: string;
  readonly ifname: string;
  readonly address: string;
  readonly address6: string;
  #process?: ChildProcessWithoutNullStreams;
  #next = 1;
  readonly #waiting = new Map<number, (answer: HostAnswer) => void>();

  constructor(name: string, namespace: string, ifname: string, index: number) {
    this.name = name;
    this.namespace = namespace;
    this.ifname = ifname;
    this.address = `10.77.${index}.10`;
    this.address6 = `fd77:0:0:${index}::10`;
  }

  /** Process id of the pod's host program (nsenter replaces itself with it). */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** @param cgroup folder of the cgroup v2 that the host program is put into before it opens anything */
  start(cgroup?: string): void {
    const words = ['nsenter', `--net=/run/netns/${this.namespace}`, process.execPath, HOST_PROGRAM];
    const enter = ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', cgroup ?? '', ...words];
    const [command = '', ...rest] = cgroup === undefined ? words : enter;
    this.#process = spawn(command, rest, { stdio: 'pipe' });
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      const answer = JSON.parse(line) as HostAnswer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  ask(request: Omit<HostRequest, 'id'>): Promise<HostAnswer> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#process?.stdin.write(`${JSON.stringify({ ...request, id })}\n`);
    });
  }

  /** Runs a command inside the pod; throws with its output when it fails. */
  run(...words: string[]): string {
    return run('nsenter', `--net=/run/netns/${this.namespace}`, ...words);
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (!child) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.stdin.end();
    child.kill('SIGKILL');
    await gone;
  }
}

/** A node (a routed network namespace) with pods, unique per run and removed by `remove`. */
export class TestNetwork {
  readonly id = randomBytes(3).toString('hex');
  readonly node = `pt${this.id}n`;
  readonly pods: readonly TestPod[];

  constructor(names: readonly string[]) {
    this.pods = names.map((name, index) => new TestPod(name, `pt${this.id}${index}`, `v${this.id}${index}`, index + 1));
  }

  get nodePath(): string {
    return `/run/netns/${this.node}`;
  }

  pod(name: string): TestPod {
    const found = this.pods.find((pod) => pod.name === name);
    if (!found) throw new Error(`no pod ${name}`);
    return found;
  }

  /** Runs a command in the node's namespace. */
  onNode(...words: string[]): string {
    return run('nsenter', `--net=${this.nodePath}`, ...words);
  }

  create(): void {
    run('ip', 'netns', 'add', this.node);
    run('ip', '-n', this.node, 'link', 'set', 'lo', 'up');
    this.onNode('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    for (const pod of this.pods) this.#connect(pod);
  }

  #connect(pod: TestPod): void {
    const network = pod.address.replace(/\.10$/, '');
    const network6 = pod.address6.replace(/10$/, '');
    run('ip', 'netns', 'add', pod.namespace);
    run('ip', '-n', pod.namespace, 'link', 'set', 'lo', 'up');
    run('ip', 'link', 'add', pod.ifname, 'netns', this.node, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod.namespace);
    run('ip', '-n', this.node, 'addr', 'add', `${network}.1/24`, 'dev', pod.ifname);
    run('ip', '-n', this.node, 'addr', 'add', `${network6}1/64`, 'dev', pod.ifname, 'nodad');
    run('ip', '-n', pod.namespace, 'addr', 'add', `${pod.address}/24`, 'dev', 'eth0');
    run('ip', '-n', pod.namespace, 'addr', 'add', `${pod.address6}/64`, 'dev', 'eth0', 'nodad');
    run('ip', '-n', this.node, 'link', 'set', pod.ifname, 'up');
    run('ip', '-n', pod.namespace, 'link', 'set', 'eth0', 'up');
    run('ip', '-n', pod.namespace, 'route', 'add', 'default', 'via', `${network}.1`);
    run('ip', '-n', pod.namespace, 'route', 'add', 'default', 'via', `${network6}1`);
    pod.start();
  }

  async remove(): Promise<void> {
    for (const pod of this.pods) await pod.stop();
    for (const namespace of [...this.pods.map((pod) => pod.namespace), this.node]) {
      try {
        run('ip', 'netns', 'del', namespace);
      } catch {
        // It was never made: creating the network failed half-way.
      }
    }
  }
}
