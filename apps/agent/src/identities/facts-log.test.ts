import { appendFileSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClusterFacts, FactsIncrement } from '@palisade/policy';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { applyIncrement } from './apply-increment.ts';
import { FactsLog } from './facts-log.ts';

const none = { upserted: [], removed: [] };
const FACTS: ClusterFacts = { clusterName: 'c', identityRevision: 1, identities: [], workloads: [], nodes: [], services: [], cidrGroups: [], hostFirewall: false };
const stepFrom = (revision: number): FactsIncrement => ({ identityRevision: revision + 1, previousRevision: revision, identities: { upserted: [{ id: 300 + (revision % 7), labels: { 'k8s:n': String(revision) } }], removed: [] }, workloads: none, nodes: none, services: none, cidrGroups: none });

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-facts-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

describe('facts on disk', () => {
  it('are the snapshot with the steps since, across restarts and folds', () => {
    const log = new FactsLog(dir, 20);
    expect(log.read()).toBeUndefined();
    let facts = FACTS;
    log.save({ epoch: '1', facts });
    for (let revision = 1; revision <= 70; revision += 1) {
      facts = applyIncrement(facts, stepFrom(revision));
      log.append(stepFrom(revision), { epoch: '1', facts });
      if (revision % 14 === 0) expect(new FactsLog(dir).read()).toEqual({ epoch: '1', facts });
    }
    expect(readdirSync(join(dir, 'identities')).sort()).toEqual(['facts.json', 'steps.ndjson']);
  });

  it('leave out a line that was cut off, and steps from before the snapshot', () => {
    const log = new FactsLog(dir);
    log.save({ epoch: '1', facts: FACTS });
    const second = applyIncrement(FACTS, stepFrom(1));
    log.append(stepFrom(1), { epoch: '1', facts: second });
    appendFileSync(join(dir, 'identities/steps.ndjson'), '{"identityRevision":3,"previousRev');
    expect(new FactsLog(dir).read()?.facts).toEqual(second);
    new FactsLog(dir).save({ epoch: '2', facts: { ...FACTS, identityRevision: 9 } });
    appendFileSync(join(dir, 'identities/steps.ndjson'), `${JSON.stringify(stepFrom(1))}\n`);
    expect(new FactsLog(dir).read()).toMatchObject({ epoch: '2', facts: { identityRevision: 9 } });
  });
});
