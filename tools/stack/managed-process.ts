import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { logTail, openLog } from './state-folder.ts';
import { waitFor } from './wait-for.ts';

export interface ProcessPlan {
  /** Name of its log and of the messages about it. */
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** Resolves true once it serves; absent: running is enough. */
  readonly isReady?: () => Promise<boolean>;
}

const READY_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 8000;

/** A process of the stack: started, watched, stopped. It dies when we do, however we die. */
export class ManagedProcess {
  readonly name: string;
  readonly #plan: ProcessPlan;
  readonly #onUnexpectedEnd: (process: ManagedProcess, how: string) => void;
  #child: ChildProcess | undefined;
  #endIsExpected = false;

  /** @param onUnexpectedEnd told when it ends and neither `stop` nor `kill` was asked for. */
  constructor(plan: ProcessPlan, onUnexpectedEnd: (process: ManagedProcess, how: string) => void) {
    this.name = plan.name;
    this.#plan = plan;
    this.#onUnexpectedEnd = onUnexpectedEnd;
  }

  get pid(): number | undefined {
    return this.isRunning() ? this.#child?.pid : undefined;
  }

  get logFile(): string {
    return this.#plan.logFile;
  }

  isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Starts it and waits until it is ready.
   *
   * @throws with the end of its log when it ends or is not ready within a minute.
   */
  async start(): Promise<void> {
    if (this.isRunning()) return;
    this.#endIsExpected = true;
    const log = openLog(this.#plan.logFile);
    const [program = '', ...words] = this.#plan.command;
    const child = spawn('setpriv', ['--pdeathsig', 'TERM', program, ...words], {
      // A group of its own: Ctrl-C in the terminal is for us, we stop the processes in order.
      detached: true,
      stdio: ['ignore', log, log],
      env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', ...this.#plan.environment },
    });
    closeSync(log);
    this.#child = child;
    let ended: string | undefined;
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => {
      ended = signal === null ? `exit code ${code}` : `signal ${signal}`;
      if (!this.#endIsExpected && this.#child === child) this.#onUnexpectedEnd(this, ended);
    });
    await waitFor(
      `${this.name} to be ready`,
      async () => {
        if (ended !== undefined) throw new Error(`${this.name} ended with ${ended}. The end of ${this.logFile}:\n${logTail(this.logFile)}`);
        return (await this.#plan.isReady?.()) ?? true;
      },
      { withinMs: READY_DEADLINE_MS, otherwise: () => `The end of ${this.logFile}:\n${logTail(this.logFile)}` },
    );
    this.#endIsExpected = false;
  }

  /** Asks it to end, insists after 8 s. Resolves when it is gone. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** Ends it the way a crash does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#endIsExpected = true;
    const child = this.#child;
    if (child === undefined || !this.isRunning()) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    const insist = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS);
    await gone;
    clearTimeout(insist);
  }
}
