import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const root = new URL('../../../../', import.meta.url).pathname;

/** Actions as they are written in the sources: `action: 'cluster.created'`. */
function actionsInCode(): string[] {
  const files = globSync('{libs/control,apps/*}/src/**/*.ts', { cwd: root }).filter((file) => !/\.test\.ts$|\/testing\//.test(file));
  return files.flatMap((file) => [...readFileSync(root + file, 'utf8').matchAll(/action: '([a-z-]+\.[a-z-]+)'/g)].map(([, action]) => action ?? ''));
}

describe('docs/audit.md', () => {
  it('names every action that the code writes', () => {
    const text = readFileSync(`${root}docs/audit.md`, 'utf8');
    const documented = new Set([...text.matchAll(/`([a-z-]+\.[a-z-]+)`/g)].map(([, action]) => action));
    const actions = actionsInCode();
    expect(actions.length).toBeGreaterThan(10);
    expect(actions.filter((action) => !documented.has(action))).toEqual([]);
  });
});
