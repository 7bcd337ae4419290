import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HOST_PROGRAM = fileURLToPath(new URL('./http-host.ts', import.meta.url));
const CHECKOUT = fileURLToPath(new URL('../../../../..', import.meta.url));
const GATE = 'apps/http-gate/src/main.ts';
const LAUNCHER = join(CHECKOUT, 'apps/http-gate/build/palisade-gate-launch');
/** Copies node ($1) and what the gate needs of the checkout ($2) to where nobody can read them ($3), whoever may enter the checkout. */
const IN_REACH = `set -e
mount -t tmpfs -o mode=755 tmpfs "$3"
cp -L "$1" "$3/node"
cd "$2"
cp -a --parents package.json apps/http-gate/package.json apps/http-gate/src apps/http-gate/build libs/*/package.json libs/*/src node_modules/@palisade node_modules/re2js "$3"
cd "$3"
chmod -R a+rX .
shift 3
exec "$@"`;
const NOBODY = '65534';

/** Why tests of the HTTP gate cannot run here, or nothing. */
export function gateUnavailable(): string | undefined {
  return existsSync(LAUNCHER) ? undefined : 'Tests of the HTTP gate are skipped: it is not compiled (apps/http-gate/native/build.sh).';
}

/** A process in a network namespace, with what it has said. */
class NamespaceProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly exited: Promise<void>;
  output = '';
  errors = '';
  ended = false;
  readonly #waiting = new Set<() => void>();

  constructor(namespace: string, words: readonly string[]) {
    this.child = spawn('nsenter', [`--net=${namespace}`, ...words], { stdio: 'pipe' });
    this.child.stdin.on('error', () => undefined);
    this.child.stdout.setEncoding('latin1').on('data', (text: string) => this.#heard(() => (this.output += text)));
    this.child.stderr.setEncoding('latin1').on('data', (text: string) => this.#heard(() => (this.errors += text)));
    this.exited = new Promise((resolve) => {
      this.child.once('close', () => {
        this.#heard(() => (this.ended = true));
        resolve();
      });
    });
  }

  #heard(note: () => void): void {
    note();
    for (const wake of this.#waiting) wake();
  }

  /** Waits until `holds`, or fails with everything that was said. */
  async until(what: string, holds: () => boolean, timeoutMs = 10_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!holds()) {
      if (Date.now() > deadline) throw new Error(`waited in vain for ${what}; output: ${JSON.stringify(this.output)} errors: ${JSON.stringify(this.errors)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 200);
        const wake = (): void => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly host?: string;
  readonly from?: string;
  readonly port?: number;
  readonly size?: number;
}

/** A server that remembers what reached it. */
export class HttpServerProcess extends NamespaceProcess {
  constructor(namespace: string, port: number) {
    super(namespace, [process.execPath, HOST_PROGRAM, 'serve', String(port)]);
  }

  get requests(): SeenRequest[] {
    return this.output.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as SeenRequest).filter(({ method }) => method !== 'READY');
  }

  async ready(): Promise<this> {
    await this.until('the server', () => this.output.includes('READY'));
    return this;
  }
}

/** Makes what listens on a UNIX socket reachable at a loopback port of a namespace. */
export class RelayProcess extends NamespaceProcess {
  constructor(namespace: string, port: number, path: string) {
    super(namespace, [process.execPath, HOST_PROGRAM, 'relay', String(port), path]);
  }

  async ready(): Promise<this> {
    await this.until('the relay', () => this.output.includes('READY'));
    return this;
  }
}

/** A client that says exactly what it is told. */
export class RawClient extends NamespaceProcess {
  constructor(namespace: string, host: string, port: number) {
    super(namespace, [process.execPath, HOST_PROGRAM, 'pipe', host, String(port)]);
  }

  async connected(): Promise<this> {
    await this.until('a connection', () => this.errors.includes('connected') || this.ended);
    return this;
  }

  say(text: string): void {
    this.child.stdin.write(Buffer.from(text, 'latin1'));
  }

  /** Everything up to the `count`-th answer with its short body. */
  async answers(count: number): Promise<number[]> {
    const statuses = (): number[] => [...this.output.matchAll(/^HTTP\/1\.1 (\d\d\d)/gm)].map(([, status]) => Number(status));
    await this.until(`${count} answers`, () => statuses().length >= count || this.ended);
    return statuses();
  }
}

/** Many connections of one client, see http-host.ts. */
export class CrowdProcess extends NamespaceProcess {
  constructor(namespace: string, host: string, port: number, count: number) {
    super(namespace, [process.execPath, HOST_PROGRAM, 'crowd', host, String(port), String(count)]);
  }

  get seen(): { readonly ended: number; readonly answers: number } {
    const last = this.output.trimEnd().split('\n').at(-1);
    return last === undefined || last === '' ? { ended: 0, answers: 0 } : (JSON.parse(last) as { ended: number; answers: number });
  }

  say(text: string): void {
    this.child.stdin.write(text);
  }
}

/** The gate as it runs on a node: started by its launcher, as nobody, without capabilities. The socket's folder is everybody's to enter. */
export class GateProcess extends NamespaceProcess {
  constructor(namespace: string, socketPath: string) {
    const reach = join(dirname(socketPath), 'gate');
    mkdirSync(reach, { recursive: true });
    const gate = [join(reach, 'node'), '--conditions=palisade-src', join(reach, GATE), socketPath];
    super(namespace, ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', IN_REACH, 'sh', process.execPath, CHECKOUT, reach, LAUNCHER, NOBODY, NOBODY, ...gate]);
  }
}
