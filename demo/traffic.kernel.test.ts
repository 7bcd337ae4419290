import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildNetwork, chooseSlot, removeNetwork } from './network/network.ts';
import { planNetwork, stackId } from './network/plan.ts';
import { exec } from './network/shell.ts';
import { Traffic } from './traffic.ts';

const folder = mkdtempSync(join(tmpdir(), 'palisade-demo-'));
const id = stackId(folder);
let traffic: Traffic | undefined;

beforeAll(async () => {
  const plan = planNetwork(id, await chooseSlot(id));
  await buildNetwork(plan);
  traffic = await Traffic.start(plan, folder);
});

afterAll(async () => {
  await traffic?.stop();
  await removeNetwork(id);
  rmSync(folder, { recursive: true, force: true });
});

it('carries every stream, directly and through the service address, when nothing filters', async () => {
  await expect
    .poll(async () => [...((await traffic?.counts()) ?? new Map()).values()].every(({ ok }) => ok >= 5), { timeout: 20_000 })
    .toBe(true);
  const failed = [...((await traffic?.counts()) ?? new Map()).values()].filter((counts) => counts.failed > 0);
  expect(failed).toEqual([]);
});

it('leaves nothing behind when it is removed', async () => {
  await traffic?.stop();
  await removeNetwork(id);
  expect(await exec('ip', ['netns', 'list'])).not.toContain(`palisade-${id}-`);
  expect(await exec('ip', ['-4', 'route'])).not.toContain(`pal-${id}`);
});
