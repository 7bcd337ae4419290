import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RunningEngine {
  readonly url: string;
  readonly pid: number;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

/**
 * Starts `engine-server.ts` on a free port with empty data.
 * @param under folder for a folder of its own; absent: in memory where it can be
 */
export async function startEngine(under = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()): Promise<RunningEngine> {
  const folder = mkdtempSync(join(under, 'palisade-chdb-'));
  const child = spawn(process.execPath, [join(import.meta.dirname, 'engine-server.ts'), '0', join(folder, 'data')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const port = await new Promise<string>((done, fail) => {
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const match = /^listening on (\d+)$/m.exec(said);
      if (match !== null) done(match[1] ?? '');
    });
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.once('exit', () => fail(new Error(`The ClickHouse engine did not start:\n${said}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
