import { generateKeyPairSync } from 'node:crypto';
import { DomainError } from '@palisade/errors';
import { canonicalJson, localSigner, sealEpochRecovery, sha256Hex, signEnvelope, type JsonValue, type Signer } from '@palisade/bundle';
import { NodeBundleState } from '@palisade/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startAgent, type AgentSetup, type RunningAgent } from './testing/running-agent.ts';
import { EMPTY_FACTS, problem, SCOPE, TestControlPlane } from './testing/test-control-plane.ts';

// Faults 7, 9, 10, 11, 13 and 20 of the trust and fleet design: what a node does with what it must not believe.

let plane: TestControlPlane;
const agents: RunningAgent[] = [];

beforeEach(async () => {
  plane = await TestControlPlane.start();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.remove();
  await plane.stop();
});

const until = <T>(check: () => T) => vi.waitFor(check, { timeout: 15_000, interval: 10 });

/** An agent that runs generation 1.1 in health. */
async function healthyAgent(setup: Partial<AgentSetup> = {}): Promise<{ agent: RunningAgent; digest: string }> {
  const agent = startAgent({ plane, ...setup });
  agents.push(agent);
  await until(() => expect(plane.checkIns.length).toBeGreaterThan(0));
  const { contentDigest } = await plane.offer('1.1');
  await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
  return { agent, digest: contentDigest };
}

/** Waits for the report of a refusal and checks that the old bundle was not touched. */
async function expectRefusal(agent: RunningAgent, digest: string, code: string): Promise<void> {
  await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.FAILED, reason: expect.stringContaining(code) as string, contentDigest: digest }));
  expect(agent.kernel.state?.contentDigest).toBe(digest);
  expect(agent.kernel.applied.at(-1)).toBe(digest);
}

const UNKNOWN = Buffer.from('code nobody published');
const otherContent = { maps: [{ name: 'policy', type: 'hash', keySize: 8, valueSize: 8, maxEntries: 10 }] };

describe('fault 9: downgrade, stale timestamp, mix-and-match, dropped file', () => {
  it('refuses an older generation, though it is well signed', async () => {
    const { agent } = await healthyAgent();
    const { contentDigest } = await plane.offer('1.5');
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, generation: { n: 5n } }));
    await plane.offer('1.2', otherContent);
    await expectRefusal(agent, contentDigest, 'generation-not-newer');
  });

  it('refuses to load under a timestamp that has expired', async () => {
    const { agent, digest } = await healthyAgent();
    await plane.publishPrograms(undefined, -60_000);
    await plane.offer('1.2', otherContent);
    await expectRefusal(agent, digest, 'expired');
  });

  it('refuses metadata that went back', async () => {
    const { agent, digest } = await healthyAgent();
    const old = plane.metadata.get('timestamp') as Uint8Array;
    await plane.publishPrograms();
    await plane.offer('1.2');
    await until(() => expect(agent.kernel.state?.generation).toBe('1.2'));
    plane.metadata.set('timestamp', old);
    await plane.offer('1.3', otherContent);
    await expectRefusal(agent, digest, 'rollback');
  });

  it('refuses targets of one time under a snapshot of another', async () => {
    const { agent, digest } = await healthyAgent();
    const old = plane.metadata.get('targets') as Uint8Array;
    await plane.publishPrograms([UNKNOWN]);
    plane.metadata.set('targets', old);
    await plane.offer('1.2', otherContent);
    await until(() => expect(plane.last?.observed?.reason).toMatch(/length-mismatch|hash-mismatch/));
    expect(agent.kernel.state?.contentDigest).toBe(digest);
  });

  it('waits, with the old bundle, for a file that the gateway drops', async () => {
    const { agent, digest } = await healthyAgent();
    const bundle = await plane.offer('1.2', otherContent);
    const blob = bundle.manifest.policy.sha256;
    plane.blobs.delete(blob);
    agent.state.collectGarbage(new Set(), new Set());
    await until(() => expect(agent.log.join('')).toMatch(/404/));
    expect(agent.kernel.state?.contentDigest).toBe(digest);
    plane.blobs.set(blob, bundle.blobs.get(blob) as Uint8Array);
    await until(() => expect(agent.kernel.state?.contentDigest).toBe(bundle.contentDigest));
  });

  it('recovers from a fast-forward of the timestamp when the root rotates its key', async () => {
    const { agent } = await healthyAgent();
    plane.imageVersion = 1_000_000; // whoever stole the key signs a version that leaves no room
    await plane.publishPrograms();
    await plane.offer('1.2');
    await until(() => expect(agent.kernel.state?.generation).toBe('1.2'));
    const rotated = { ...plane.signers, timestamp: newSigner(), snapshot: newSigner() };
    await plane.publishRoot(2, rotated, [plane.signers.root]);
    Object.assign(plane.signers, rotated);
    plane.imageVersion = 5;
    await plane.publishPrograms();
    const { contentDigest } = await plane.offer('1.3', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
  });
});

describe('fault 10: truncated, oversized, endless, wrongly signed bundles', () => {
  it.each([
    ['truncated', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1), 'length-mismatch'],
    ['altered', (bytes: Uint8Array) => Buffer.from(bytes).fill(0x41, 0, 1), 'hash-mismatch'],
    ['oversized', (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc(8_000_000)]), 'too-large'],
  ])('refuses a %s policy', async (_what, change, code) => {
    const { agent, digest } = await healthyAgent();
    const bundle = await plane.offer('1.2', { ...otherContent, policy: { revision: 2, content: Buffer.from('{"irVersion":1,"policies":[ ]}') } });
    const { sha256 } = bundle.manifest.policy;
    plane.blobs.set(sha256, change(bundle.blobs.get(sha256) as Uint8Array));
    await expectRefusal(agent, digest, code);
  });

  it('cuts an endless manifest off at its cap', async () => {
    const { agent, digest } = await healthyAgent();
    let sent = 0;
    plane.intercept = (path, response) => {
      if (!path.includes('/manifests/')) return false;
      response.writeHead(200);
      const more = () => {
        while (!response.stream.destroyed && response.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024;
      };
      response.on('drain', more);
      more();
      return true;
    };
    await plane.offer('1.2', otherContent);
    await expectRefusal(agent, digest, 'too-large');
    expect(sent).toBeLessThan(4 * 1024 * 1024);
  });

  it('refuses a manifest that the director has not signed', async () => {
    const { agent, digest } = await healthyAgent();
    await plane.offer('1.2', otherContent, newSigner());
    await expectRefusal(agent, digest, 'below-threshold');
  });

  it('refuses below the threshold, and does not count one key twice', async () => {
    const { agent, digest } = await healthyAgent();
    const root = { ...plane.signers };
    await plane.publishRoot(2, root, [plane.signers.root]);
    const bundle = await plane.offer('1.2', otherContent);
    const envelope = JSON.parse(Buffer.from(bundle.envelope).toString()) as { payload: string; payloadType: string };
    const twice = await signEnvelope(envelope.payloadType, Buffer.from(envelope.payload, 'base64'), [plane.signers.director, plane.signers.director]);
    plane.manifests.set(sha256Hex(twice), twice);
    plane.desired = { ...plane.desired, manifestSha256: sha256Hex(twice) };
    await expectRefusal(agent, digest, 'duplicate-signature');
  });

  it('refuses a root that its predecessor has not signed, and goes on with the old one', async () => {
    const { agent, digest } = await healthyAgent();
    const stranger = newSigner();
    await plane.publishRoot(2, { ...plane.signers, root: stranger }, [stranger]);
    await plane.offer('1.2', otherContent);
    await expectRefusal(agent, digest, 'below-threshold');
    expect(JSON.parse(Buffer.from(agent.state.trust()?.root ?? []).toString())).toMatchObject({ signed: { version: 1 } });
  });
});

describe('fault 11: a stolen director key alone', () => {
  it('loads no code that the image authority has not published', async () => {
    const { agent, digest } = await healthyAgent();
    await plane.offer('1.2', { programs: [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object: UNKNOWN }] });
    await expectRefusal(agent, digest, 'program-not-published');
  });

  it('cannot publish programs or open an epoch', async () => {
    const { agent, digest } = await healthyAgent();
    plane.signers.targets = plane.signers.director;
    await plane.publishPrograms([UNKNOWN]);
    await plane.offer('1.2', otherContent);
    await expectRefusal(agent, digest, 'below-threshold');
    await plane.offer('2.1', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ subjectGeneration: { epoch: 2n }, reason: expect.stringContaining('below-threshold') as string }));
    expect(agent.kernel.state?.contentDigest).toBe(digest);
  });

  it('a stolen image key alone pushes nothing', async () => {
    const { agent, digest } = await healthyAgent();
    await plane.publishPrograms([UNKNOWN]);
    await plane.offer('1.2', { programs: [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object: UNKNOWN }] }, plane.signers.targets);
    await expectRefusal(agent, digest, 'below-threshold');
  });

  it('a gateway cannot bring a generation to a node that its wave has not reached', async () => {
    const { agent, digest } = await healthyAgent();
    const nodes = new Map(plane.enrollments);
    plane.enrollments = new Map([['other', { nodeId: 'node-canary', spki: new Uint8Array() }]]);
    await plane.offer('1.2', otherContent);
    plane.enrollments = nodes;
    await expectRefusal(agent, digest, 'not-assigned');
  });
});

describe('a bundle with a shadow revision', () => {
  const denying = { irVersion: 1, kind: 'NetworkPolicy', namespace: 'shop', name: 'deny', revision: 1, mode: 'enforce', blocks: [{ spec: 0, tier: 'normal', priority: 0, direction: 'ingress', subject: { kind: 'endpoints', selector: { requirements: [], localCluster: true } }, isolates: true, rules: [] }] };

  it('is resolved and loaded beside the live one, which alone is what the node reports as its policy', async () => {
    const { agent } = await healthyAgent();
    const shadowPolicy = { revision: 9, content: Buffer.from(canonicalJson({ irVersion: 1, policies: [denying] } as unknown as JsonValue)) };
    const { contentDigest } = await plane.offer('1.2', { shadowPolicy });
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest, policyRevision: 2n }));
    expect(agent.kernel.state?.resolved.policyRevision).toBe(2);
    expect(agent.kernel.state?.shadow?.policyRevision).toBe(9);
    // The next bundle has none, and takes it away.
    await plane.offer('1.3');
    await until(() => expect(agent.kernel.state?.generation).toBe('1.3'));
    expect(agent.kernel.state?.shadow).toBeUndefined();
  });
});

describe('a restored database', () => {
  it('is followed into the epoch that the root opens: lower generations and identity revisions count again', async () => {
    const { agent } = await healthyAgent();
    await plane.publishFacts({ ...EMPTY_FACTS, identityRevision: 50 });
    await until(() => expect(agent.kernel.state?.resolved.identityRevision).toBe(50));
    await plane.publishFacts({ ...EMPTY_FACTS, identityRevision: 2 }, 2n);
    plane.metadata.set('recovery', await sealEpochRecovery({ ...SCOPE, epoch: 2n }, [plane.signers.root]));
    const { contentDigest } = await plane.offer('2.1', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest, generation: { epoch: 2n, n: 1n } }));
    await until(() => expect(agent.kernel.state?.resolved.identityRevision).toBe(2));
    await plane.offer('1.9');
    await expectRefusal(agent, contentDigest, 'generation-not-newer');
  });
});

describe('fault 13: verifier failure and crash loop', () => {
  it('keeps the old bundle when the kernel refuses the new one, and reports the end of the verifier log', async () => {
    const { agent, digest } = await healthyAgent();
    const kernelSays = new DomainError('kernel.load-failed', 'R1 invalid mem access\nprocessed 12 insns');
    agent.kernel.failures.set(await digestOf(), kernelSays);
    await plane.offer('1.2', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.FAILED, contentDigest: digest, subjectGeneration: { n: 2n }, reason: expect.stringContaining('processed 12 insns') as string }));
    expect(agent.kernel.state?.generation).toBe('1.1');
  });

  it('goes back when an endpoint loses its protection after the switch', async () => {
    const endpoint = { key: 'pod/a', namespace: 'a', name: 'a', addresses: ['10.0.0.1'], attach: { kind: 'interface', ifname: 'veth0' } };
    const { agent, digest } = await healthyAgent({ endpoints: { endpoints: [endpoint] } });
    agent.kernel.losesProtection.set(await digestOf(), 'pod/a');
    await plane.offer('1.2', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.REVERTED, contentDigest: digest, reason: expect.stringContaining('pod/a') as string }));
    expect(agent.kernel.state?.generation).toBe('1.1');
  });

  it('never reports a bundle as healthy that the kernel does not run', async () => {
    const { agent } = await healthyAgent();
    agent.kernel.lies.set(await digestOf(), 'f'.repeat(64));
    await plane.offer('1.2', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.REVERTED, subjectGeneration: { n: 2n } }));
    expect(plane.checkIns.filter(({ observed }) => observed?.state === NodeBundleState.HEALTHY && observed.generation?.n === 2n)).toEqual([]);
  });

  it('goes back after a crash loop, without a control plane', async () => {
    const { agent, digest } = await healthyAgent();
    await agent.stop();
    await plane.stop();
    const { current } = agent.state.ledger();
    agent.state.saveLedger({ ...agent.state.ledger(), candidate: { ...current!, generation: '1.2', attempts: 3 } });
    const again = startAgent({ plane, dir: agent.dir, kernel: agent.kernel });
    agents.push(again);
    await until(() => expect(again.state.ledger().givenUp).toMatchObject({ generation: '1.2', state: 'reverted', reason: expect.stringContaining('crash loop') as string }));
    expect(again.kernel.state).toMatchObject({ generation: '1.1', contentDigest: digest });
  });

  it('does not try a generation again that it has given up', async () => {
    const { agent } = await healthyAgent();
    agent.kernel.failures.set(await digestOf(), new DomainError('kernel.load-failed', 'no'));
    await plane.offer('1.2', otherContent);
    await until(() => expect(plane.last?.observed?.state).toBe(NodeBundleState.FAILED));
    agent.kernel.failures.clear();
    const before = plane.checkIns.length;
    await plane.publishFacts({ ...EMPTY_FACTS, identityRevision: 2 });
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(before + 1));
    expect(agent.kernel.state?.generation).toBe('1.1');
  });
});

describe('the dead-man timer', () => {
  it('goes back when nothing is heard after the switch', async () => {
    const { agent, digest } = await healthyAgent();
    const bundle = await plane.offer('1.2', otherContent);
    await until(() => expect(agent.state.ledger().candidate?.generation).toBe('1.2'));
    // A node that was cut off hears nothing at all, not even a refusal.
    plane.intercept = () => true;
    await until(() => expect(agent.state.ledger().givenUp).toMatchObject({ generation: '1.2', state: 'reverted', reason: expect.stringContaining('nothing was heard') as string }));
    expect(agent.kernel.state?.contentDigest).toBe(digest);
    expect(agent.kernel.applied).toContain(bundle.contentDigest);
  });
});

describe('fault 20: a storm of 429 and 503 during the health window', () => {
  it.each([429, 503])('is no reason to go back (%i)', async (status) => {
    const { agent } = await healthyAgent({ timings: { healthWindowMs: 300, commitTimeoutMs: 500 } });
    let stormy = false;
    plane.intercept = (path, response) => {
      if (!stormy || path !== '/agent/v1/check-in') return false;
      problem(response, status, 'request.rate-limited', 'Come back later.', { 'retry-after': '0' });
      return true;
    };
    const { contentDigest } = await plane.offer('1.2', otherContent);
    await until(() => expect(agent.state.ledger().candidate?.generation).toBe('1.2'));
    stormy = true;
    await until(() => expect(agent.state.ledger().current?.generation).toBe('1.2'));
    expect(agent.state.ledger().givenUp).toBeUndefined();
    stormy = false;
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
  });
});

describe('fault 7: the agent\'s clock is wrong', () => {
  it.each([-10, 10])('by %i minutes: tolerated, and what runs keeps running', async (minutes) => {
    const { agent } = await healthyAgent({ now: () => Date.now() + minutes * 60_000 });
    const { contentDigest } = await plane.offer('1.2', otherContent);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
    expect(agent.kernel.state?.generation).toBe('1.2');
  });

  it('by two days: new loads are refused as expired, and what runs keeps running', async () => {
    let skewMs = 0;
    const { agent, digest } = await healthyAgent({ now: () => Date.now() + skewMs });
    skewMs = 2 * 86_400_000;
    await plane.offer('1.2', otherContent);
    await expectRefusal(agent, digest, 'expired');
  });
});

function newSigner(): Signer {
  return localSigner(generateKeyPairSync('ed25519').privateKey);
}

/** The digest that `otherContent` will have: sealing is deterministic. */
async function digestOf(): Promise<string> {
  const { desired } = plane;
  const { contentDigest } = await plane.offer('1.2', otherContent);
  plane.desired = desired;
  return contentDigest;
}
