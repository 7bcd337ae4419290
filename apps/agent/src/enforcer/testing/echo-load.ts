import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestPod } from './test-network.ts';

const SOURCE = fileURLToPath(new URL('./echo-load.c', import.meta.url));

export interface EchoCounts {
  /** Datagrams to the allowed port, and those of them that got no answer. */
  readonly datagrams: number;
  readonly lost: number;
  /** Datagrams to the denied port, and answers to them. */
  readonly denied: number;
  readonly leaked: number;
  /** Requests over TCP, connections that carried them, those that broke or could not be opened, and segments sent again. */
  readonly segments: number;
  readonly connections: number;
  readonly broken: number;
  readonly repeated: number;
}

/** Some ten thousand exchanges a second between two pods, of which none may be lost (see echo-load.c). */
export class EchoLoad {
  readonly #folder = mkdtempSync(join(tmpdir(), 'palisade-echo-'));
  readonly #program = join(this.#folder, 'echo-load');
  readonly #client: TestPod;
  readonly #ports: readonly [string, string];
  readonly #host: string;
  #server: ChildProcess | undefined;

  private constructor(client: TestPod, server: TestPod, allowed: number, denied: number) {
    execFileSync(process.env['CC'] ?? 'gcc', ['-O2', '-o', this.#program, SOURCE]);
    this.#client = client;
    this.#host = server.address;
    this.#ports = [String(allowed), String(denied)];
  }

  /** @param denied a port that policy denies; both must be free in the server's pod */
  static async start(client: TestPod, server: TestPod, allowed: number, denied: number): Promise<EchoLoad> {
    const load = new EchoLoad(client, server, allowed, denied);
    load.#server = spawn('nsenter', [`--net=/run/netns/${server.namespace}`, load.#program, 'server', ...load.#ports], { stdio: ['ignore', 'pipe', 'inherit'] });
    if (load.#server.stdout !== null) await once(load.#server.stdout, 'data');
    return load;
  }

  /** Counts what happens while `work` is under way. */
  async during(work: () => Promise<unknown>): Promise<EchoCounts> {
    const client = spawn('nsenter', [`--net=/run/netns/${this.#client.namespace}`, this.#program, 'client', this.#host, ...this.#ports], { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    client.stdout.on('data', (data: Buffer) => (said += data.toString()));
    const ended = once(client, 'close');
    try {
      await work();
    } finally {
      client.stdin.end();
      await ended;
    }
    return JSON.parse(said) as EchoCounts;
  }

  async stop(): Promise<void> {
    const gone = this.#server === undefined ? undefined : once(this.#server, 'exit');
    this.#server?.kill('SIGKILL');
    await gone;
    rmSync(this.#folder, { recursive: true });
  }
}
