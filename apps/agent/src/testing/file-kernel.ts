import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { MemoryKernel } from './memory-enforcer.ts';

/** A kernel whose state is a file, so that it outlives an agent process that is killed: what pins do for the real one. */
export function fileKernel(path: string): MemoryKernel {
  const kernel = new MemoryKernel();
  if (existsSync(path)) kernel.state = (JSON.parse(readFileSync(path, 'utf8')) as MemoryKernel['state'] | null) ?? undefined;
  const proxy = new Proxy(kernel, {
    set(target, name, value) {
      Reflect.set(target, name, value);
      if (name === 'state') {
        writeFileSync(`${path}.next`, JSON.stringify(value ?? null));
        renameSync(`${path}.next`, path);
      }
      return true;
    },
  });
  return proxy;
}
