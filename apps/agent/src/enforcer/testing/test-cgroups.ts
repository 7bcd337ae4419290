import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cgroup2Mount } from '@palisade/kernel';

/** A subtree of the real cgroup v2 hierarchy with units in it, as a service manager would make them. */
export class TestCgroups {
  readonly root: string;
  readonly #made: string[] = [];

  constructor(id: string) {
    const mount = cgroup2Mount();
    if (mount === undefined) throw new Error('cgroup v2 is not mounted on this machine.');
    this.root = join(mount, `palisade-test-${id}`);
    this.#make(this.root);
  }

  #make(path: string): void {
    mkdirSync(path);
    this.#made.push(path);
  }

  /** Makes the cgroup `name` below the root. @returns its absolute path */
  unit(name: string): string {
    const path = join(this.root, name);
    this.#make(path);
    return path;
  }

  /** Takes one cgroup away; its processes go to the root's. */
  removeUnit(path: string): void {
    const mount = cgroup2Mount() ?? '';
    for (const pid of readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
      try {
        writeFileSync(join(mount, 'cgroup.procs'), pid);
      } catch {
        // It ended meanwhile.
      }
    }
    rmdirSync(path);
    this.#made.splice(this.#made.indexOf(path), 1);
  }

  remove(): void {
    for (const path of [...this.#made].reverse()) this.removeUnit(path);
  }
}
