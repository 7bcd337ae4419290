import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { signEnvelope } from '../signing/dsse.ts';
import { localSigner } from '../signing/signer.ts';
import { compareStatements, OBSERVATION_PAYLOAD_TYPE, sealNodeObservation, verifyNodeObservation, type NodeObservation } from './node-observation.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const signer = localSigner(privateKey);
const observation: NodeObservation = {
  nodeId: 'node-1', bootId: 'b', boot: 7, sequence: 3, generation: { epoch: 1n, n: 4n }, contentDigest: 'a'.repeat(64), state: 'reverted',
  subjectGeneration: { epoch: 1n, n: 5n }, reason: 'R1 invalid mem access\nprocessed 12 insns', deniedPackets: 2n ** 60n,
};

describe('a signed observation', () => {
  it('is read back as it was sealed, also before anything runs', async () => {
    const first: NodeObservation = { ...observation, generation: null, subjectGeneration: null, contentDigest: '', state: 'none', reason: '' };
    for (const one of [observation, first]) expect(verifyNodeObservation(await sealNodeObservation(one, signer), publicKey, 'node-1')).toEqual({ ok: true, observation: one });
  });

  it('is refused from another key, for another node, or as another kind of statement', async () => {
    const envelope = await sealNodeObservation(observation, signer);
    expect(verifyNodeObservation(envelope, generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).publicKey, 'node-1')).toMatchObject({ code: 'below-threshold' });
    expect(verifyNodeObservation(envelope, publicKey, 'node-2')).toMatchObject({ code: 'wrong-cluster' });
    const { payload } = JSON.parse(Buffer.from(envelope).toString()) as { payload: string };
    const other = await signEnvelope('application/vnd.palisade.endpoints+json', Buffer.from(payload, 'base64'), [signer]);
    expect(verifyNodeObservation(other, publicKey, 'node-1')).toMatchObject({ code: 'wrong-type' });
  });

  it('is refused when one character of it was changed', async () => {
    const envelope = JSON.parse(Buffer.from(await sealNodeObservation(observation, signer)).toString()) as { payload: string };
    const payload = Buffer.from(Buffer.from(envelope.payload, 'base64').toString().replace('reverted', 'healthy_')).toString('base64');
    expect(verifyNodeObservation(Buffer.from(JSON.stringify({ ...envelope, payload })), publicKey, 'node-1')).toMatchObject({ ok: false, code: 'below-threshold' });
  });

  it('keeps the end of a reason that is too long', async () => {
    const read = verifyNodeObservation(await sealNodeObservation({ ...observation, reason: `${'x'.repeat(9000)}the end` }, signer), publicKey, 'node-1');
    expect(read.ok && read.observation.reason).toHaveLength(8192);
    expect(read.ok && read.observation.reason.endsWith('the end')).toBe(true);
  });

  it('is refused in a state that there is not', async () => {
    const envelope = await signEnvelope(OBSERVATION_PAYLOAD_TYPE, Buffer.from('{"boot":1,"boot_id":"b","content_digest":"","denied_packets":"0","node":"node-1","reason":"","sequence":1,"state":"perfect"}'), [signer]);
    expect(verifyNodeObservation(envelope, publicKey, 'node-1')).toMatchObject({ code: 'malformed' });
  });
});

describe('compareStatements', () => {
  it('orders by boot, then by sequence', () => {
    const statements = [{ boot: 2, sequence: 1 }, { boot: 1, sequence: 9 }, { boot: 2, sequence: 0 }];
    expect([...statements].sort(compareStatements)).toEqual([statements[1], statements[2], statements[0]]);
    expect(compareStatements({ boot: 1, sequence: 1 }, { boot: 1, sequence: 1 })).toBe(0);
  });
});
