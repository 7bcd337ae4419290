import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { NetworkPlan } from './network/plan.ts';
import { inNamespace } from './network/shell.ts';
import { planTraffic, workloadConfigs, type DemoStream } from './traffic-plan.ts';
import type { CountsReply, StreamCounts, WorkloadConfig } from './workload/protocol.ts';

/** The counts of all streams at one moment, by stream id. */
export type TrafficCounts = ReadonlyMap<string, StreamCounts>;

const ANSWER_DEADLINE_MS = 10_000;

/** The workloads of the demo and their requests to each other. */
export class Traffic {
  readonly streams: readonly DemoStream[];
  readonly #children: readonly ChildProcess[];
  #serial = 0;

  private constructor(streams: readonly DemoStream[], children: readonly ChildProcess[]) {
    this.streams = streams;
    this.#children = children;
  }

  /** Starts all servers, then all clients, so that no first request meets a closed port. */
  static async start(plan: NetworkPlan, logDir: string): Promise<Traffic> {
    const streams = planTraffic(plan);
    const children = workloadConfigs(plan, streams).map(({ workload, config }) => launch(workload.namespace, config, logDir));
    try {
      await Promise.all(children.map((child) => reply(child, (message) => 'ready' in (message as object))));
    } catch (error) {
      for (const child of children) child.kill('SIGKILL');
      throw error;
    }
    for (const child of children) child.send({ ask: 'start' });
    return new Traffic(streams, children);
  }

  /** Asks every workload for its counts. */
  async counts(): Promise<TrafficCounts> {
    this.#serial += 1;
    const serial = this.#serial;
    const replies = await Promise.all(
      this.#children.map((child) => {
        const answer = reply(child, (message) => (message as CountsReply).serial === serial);
        child.send({ ask: 'counts', serial });
        return answer as Promise<CountsReply>;
      }),
    );
    return new Map(replies.flatMap(({ streams }) => streams.map((counts) => [counts.id, counts] as const)));
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      }),
    );
  }
}

function launch(namespace: string, config: WorkloadConfig, logDir: string): ChildProcess {
  const program = resolve(import.meta.dirname, 'workload/main.ts');
  const log = openSync(join(logDir, `${config.name}.log`), 'a');
  const [command = '', ...words] = inNamespace(namespace, [
    'setpriv',
    '--pdeathsig',
    'KILL',
    process.execPath,
    '--max-old-space-size=64',
    program,
    JSON.stringify(config),
  ]);
  // A group of its own: Ctrl-C in the terminal is for us, we stop the workloads.
  const child = spawn(command, words, { stdio: ['ignore', log, log, 'ipc'], detached: true });
  closeSync(log);
  return child;
}

function reply(child: ChildProcess, wanted: (message: unknown) => boolean): Promise<unknown> {
  return new Promise((done, fail) => {
    const settle = (): void => {
      clearTimeout(deadline);
      child.off('message', onMessage);
      child.off('exit', onExit);
    };
    const onMessage = (message: unknown): void => {
      if (!wanted(message)) return;
      settle();
      done(message);
    };
    const onExit = (code: number | null): void => {
      settle();
      fail(new Error(`A workload of the demo ended (exit code ${code}); its log in the state folder tells why.`));
    };
    const deadline = setTimeout(() => {
      settle();
      fail(new Error('A workload of the demo did not answer within 10 s.'));
    }, ANSWER_DEADLINE_MS);
    child.on('message', onMessage);
    child.on('exit', onExit);
  });
}
