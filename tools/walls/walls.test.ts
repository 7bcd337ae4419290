import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cruiseWalls, readWalls, type Breach } from './cruise-walls.ts';

const { rooms, forbidden } = readWalls();

/** One forbidden import for each kind of wall: file → what it holds, and the wall that has to stop it. */
const seeds: readonly { readonly wall: string; readonly file: string; readonly text: string }[] = [
  ...rooms.libs.map((room) => ({
    wall: `libs-${room}`,
    file: `libs/${room}/src/seed.ts`,
    // No room of libs may know the platform plumbing, save itself, which may not know the store.
    text: `import { it } from '@palisade/${room === 'nest-kit' ? 'store' : 'nest-kit'}'; export default it;`,
  })),
  ...rooms.apps.map((app) => ({
    wall: `apps-${app}`,
    file: `apps/${app}/src/seed.ts`,
    text: `import { it } from '../../${app === 'api' ? 'worker' : 'api'}/src/index.ts'; export default it;`,
  })),
  { wall: 'libs-policy-language', file: 'libs/policy-language/src/seed-sideways.ts', text: "import { it } from '@palisade/flow'; export default it;" },
  { wall: 'libs-protocol', file: 'libs/protocol/src/seed-control.ts', text: "import { it } from '@palisade/control'; export default it;" },
  { wall: 'libs-control', file: 'libs/control/src/seed-protocol.ts', text: "import { it } from '@palisade/protocol'; export default it;" },
  { wall: 'libs-store', file: 'libs/store/src/seed-adapter.ts', text: "import { it } from '@palisade/flow-store'; export default it;" },
  { wall: 'libs-kernel', file: 'libs/kernel/src/seed-control.ts', text: "import type { it } from '@palisade/control'; export type X = typeof it;" },
  { wall: 'apps-agent', file: 'apps/agent/src/seed-control.ts', text: "import { it } from '@palisade/control'; export default it;" },
  { wall: 'apps-agent', file: 'apps/agent/src/seed-language.ts', text: "import { it } from '@palisade/policy-language'; export default it;" },
  ...['errors', 'tenancy', 'policy', 'policy-language', 'flow', 'rollout', 'dataplane'].map((room) => ({
    wall: `pure-${room}`,
    file: `libs/${room}/src/seed-node.ts`,
    text: "import { createHash } from 'node:crypto'; export default createHash;",
  })),
  ...['audit', 'bundle'].map((room) => ({
    wall: `pure-${room}`,
    file: `libs/${room}/src/seed-node.ts`,
    text: "import { readFileSync } from 'node:fs'; export default readFileSync;",
  })),
  { wall: 'unknown-room', file: 'libs/utils/src/seed.ts', text: "import { it } from '@palisade/errors'; export default it;" },
  { wall: 'agent-stays-small', file: 'apps/agent/src/seed-zod.ts', text: "import { it } from 'zod'; export default it;" },
  { wall: 'no-framework-below-floor-4', file: 'libs/control/src/seed-nest.ts', text: "import { it } from '@nestjs/common'; export default it;" },
  { wall: 'one-yaml-parser', file: 'apps/api/src/seed-yaml.ts', text: "import { it } from 'yaml'; export default it;" },
  { wall: 'policy-engine-stands-alone', file: 'libs/policy/src/seed-zod.ts', text: "import { it } from 'zod'; export default it;" },
  { wall: 'testing-stays-in-tests', file: 'libs/store/src/seed-testing.ts', text: "import { it } from './testing/fixture.ts'; export default it;" },
  { wall: 'migrations-stand-alone', file: 'migrations/src/seed.ts', text: "import { it } from '@palisade/store'; export default it;" },
  { wall: 'entities-stay-in-store', file: 'libs/cloud/src/seed-orm.ts', text: "import { it } from 'typeorm'; export default it;" },
  { wall: 'demo-is-a-stranger', file: 'demo/seed.ts', text: "import { it } from '@palisade/store'; export default it;" },
  { wall: 'no-deep-import', file: 'libs/audit/src/seed-deep.ts', text: "import { it } from '../../errors/src/inner.ts'; export default it;" },
  { wall: 'no-deep-import-from-outside', file: 'apps/api/src/seed-deep.ts', text: "import { it } from '../../../libs/errors/src/inner.ts'; export default it;" },
  { wall: 'no-own-index', file: 'libs/errors/src/seed-index.ts', text: "import { it } from './index.ts'; export default it;" },
  { wall: 'no-cycle', file: 'libs/errors/src/seed-left.ts', text: "import { right } from './seed-right.ts'; export const left = () => right;" },
  { wall: 'resolves', file: 'libs/errors/src/seed-lost.ts', text: "import { it } from './nowhere.ts'; export default it;" },
];

describe('the walls between the rooms', () => {
  const tree = mkdtempSync(join(tmpdir(), 'palisade-walls-'));
  let breaches: readonly Breach[] = [];
  let modules = 0;

  function write(file: string, text: string): void {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    writeFileSync(join(tree, file), text);
  }

  beforeAll(async () => {
    write('package.json', JSON.stringify({ type: 'module', dependencies: {} }));
    for (const [kind, names] of Object.entries(rooms)) {
      for (const name of names) {
        write(`${kind}/${name}/package.json`, JSON.stringify({ name: `@palisade/${name}`, type: 'module', exports: { '.': { 'palisade-src': './src/index.ts' } } }));
        write(`${kind}/${name}/src/index.ts`, 'export const it = 1;\n');
      }
    }
    write('libs/store/src/testing/fixture.ts', 'export const it = 1;\n');
    write('libs/errors/src/inner.ts', 'export const it = 1;\n');
    write('libs/errors/src/seed-right.ts', "import { left } from './seed-left.ts'; export const right = () => left;\n");
    mkdirSync(join(tree, 'node_modules/@palisade'), { recursive: true });
    for (const room of rooms.libs) symlinkSync(join('../../libs', room), join(tree, 'node_modules/@palisade', room));
    for (const name of ['zod', 'yaml', 'typeorm', '@nestjs/common']) {
      write(`node_modules/${name}/package.json`, JSON.stringify({ name, type: 'module', exports: './index.js' }));
      write(`node_modules/${name}/index.js`, 'export const it = 1;\n');
    }
    for (const { file, text } of seeds) write(file, `${text}\n`);
    ({ breaches, modules } = await cruiseWalls(tree));
  }, 60_000);

  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  it.each(seeds)('stop $file at $wall', ({ wall, file }) => {
    expect(breaches.filter((breach) => breach.from === file).map((breach) => breach.wall)).toContain(wall);
  });

  it('have a seed each', () => {
    const seeded = new Set(seeds.map(({ wall }) => wall));
    expect((forbidden ?? []).map(({ name }) => name).filter((name) => !seeded.has(name ?? ''))).toEqual([]);
  });

  it('let through what is not seeded', () => {
    const seedFiles = new Set([...seeds.map(({ file }) => file), 'libs/errors/src/seed-right.ts']);
    expect(modules).toBeGreaterThan(seeds.length);
    expect(breaches.filter(({ from }) => !seedFiles.has(from))).toEqual([]);
  });
});
