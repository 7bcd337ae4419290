import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PACKAGES = ['clickhouse-server', 'zookeeper', 'default-jre-headless', 'libslf4j-java'];

/** Packages that are not installed here and that the given ones need, themselves included. */
async function missingPackages(): Promise<string[]> {
  const { stdout } = await run('apt-get', ['install', '-s', '--no-install-recommends', ...PACKAGES]);
  return stdout.split('\n').flatMap((line) => (line.startsWith('Inst ') ? [line.split(' ')[1] ?? ''] : []));
}

/**
 * Brings Debian's clickhouse-server and zookeeper as files below `folder`: nothing is installed, no service is started, and
 * root is not needed. What is there stays.
 * @returns undefined when they are there; else the sentence that says why not
 */
export async function bringDebianPackages(folder: string): Promise<string | undefined> {
  if (existsSync(join(folder, 'complete'))) return undefined;
  const fresh = `${folder}.new`;
  try {
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(join(fresh, 'packages'), { recursive: true });
    const packages = await missingPackages().catch(async () => {
      await run('apt-get', ['-q', 'update']);
      return missingPackages();
    });
    await run('apt-get', ['-q', 'download', ...packages], { cwd: join(fresh, 'packages') });
    for (const file of readdirSync(join(fresh, 'packages'))) await run('dpkg', ['-x', join(fresh, 'packages', file), fresh]);
    rmSync(join(fresh, 'packages'), { recursive: true });
    writeFileSync(join(fresh, 'complete'), '');
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    return undefined;
  } catch (error) {
    return `Debian’s clickhouse-server and zookeeper cannot be had here: ${(error as Error).message.split('\n')[0] ?? ''}`;
  }
}
