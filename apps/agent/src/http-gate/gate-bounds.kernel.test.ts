import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIRST_CLASS, HTTP_PORT, HttpLab } from '../enforcer/testing/http-lab.ts';
import { CrowdProcess, gateUnavailable } from '../enforcer/testing/http-processes.ts';
import { kernelUnavailable } from '../enforcer/testing/kernel-available.ts';
import { entry } from '../enforcer/testing/resolved-fixture.ts';

const unavailable = kernelUnavailable() ?? gateUnavailable();
if (unavailable) console.warn(unavailable);

/** Of the gate's 4,096 connections. */
const HALF = 2048;
const REQUEST = 'GET /public HTTP/1.1\r\nHost: server.example\r\n\r\n';

describe.skipIf(unavailable)('the gate under a crowd', () => {
  const lab = new HttpLab(['crowd', 'client', 'server']);
  const [crowded, client, server] = [lab.network.pod('crowd'), lab.network.pod('client'), lab.network.pod('server')];
  const ask = (): Promise<number> => lab.ask(client, server.address, '/public');

  beforeAll(async () => {
    await lab.start(server);
    const l7 = [FIRST_CLASS, FIRST_CLASS + 1].map((peer) => ({ ...entry('ingress', peer, 6, HTTP_PORT, 'l7', 2), l7: 0 }));
    await lab.apply({ 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), ...l7] }, [{ mode: 'hard', http: [{ path: '/public', ruleId: 100 }] }]);
    await lab.startGate(async () => (await ask()) === 200);
  });
  afterAll(() => lab.stop());

  it('gives one client half of its connections and resets the rest, serves the others, says so, and forgets it when it is over', async () => {
    const crowd = new CrowdProcess(`/run/netns/${crowded.namespace}`, server.address, HTTP_PORT, HALF + 50);
    await crowd.until('the connections beyond the half to end', () => crowd.seen.ended === 50, 40_000);
    expect(await ask()).toBe(200);
    crowd.say(REQUEST);
    await crowd.until('an answer on each that is left', () => crowd.seen.answers === HALF, 40_000);
    expect(crowd.seen.ended).toBe(50);
    await lab.gate.until('word of it', () => lab.gate.errors.includes('refused'), 20_000);
    await crowd.kill();
    const again = new CrowdProcess(`/run/netns/${crowded.namespace}`, server.address, HTTP_PORT, 100);
    again.say(REQUEST);
    await again.until('room for new ones', () => again.seen.answers >= 1, 20_000);
    await again.kill();
  });
});
