import { randomBytes, randomUUID, sign, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WakeListener } from '@palisade/store';
import { certificateRequest } from '../../../../fleet/src/certificate-request.ts';
import { newKey, startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.close());

const nodesNow = async (): Promise<number> => Number((await fleet.admin<{ n: string }>('SELECT count(*) AS n FROM palisade.nodes'))[0]?.n);
const serialOf = (chain: string): string => new X509Certificate(chain).serialNumber.toLowerCase();

describe('fault 1: a token that does not hold', () => {
  it.each([
    ['replayed', async (token: { text: string; id: string }) => void (await fleet.enroll(token.text)), 'all 1 uses are taken'],
    ['expired', async (token: { id: string }) => void (await fleet.admin("UPDATE palisade.enrollment_tokens SET expires_at = now() - interval '1 second' WHERE id = $1", [token.id])), 'the token has expired'],
    ['revoked', async (token: { id: string }) => void (await fleet.tokens.revoke(fleet.context, fleet.clusterId, token.id)), 'the token is revoked'],
  ])('is refused when %s: one generic 401, audited with the real reason, nothing issued', async (_what, spoil, reason) => {
    const token = await fleet.newToken();
    await spoil(token);
    const before = await nodesNow();
    const outcome = await fleet.enroll(token.text);
    expect(outcome).toEqual({ status: 401, code: 'auth.unauthenticated', detail: expect.not.stringContaining(reason) });
    expect(await nodesNow()).toBe(before);
    expect((await fleet.auditOf('node.enrollment-refused')).at(-1)).toMatchObject({ outcome: 'denied', details: { reason } });
  });

  it('is refused with a wrong secret, like a token that does not exist', async () => {
    const token = await fleet.newToken();
    const forged = `${token.text.split('.')[0]}.${randomBytes(32).toString('base64url')}`;
    const unknown = `enr_AAAAAAAAAAAA.${randomBytes(32).toString('base64url')}`;
    expect(await fleet.enroll(forged)).toEqual(await fleet.enroll(unknown));
    expect((await fleet.auditOf('node.enrollment-refused')).at(-1)?.details).toMatchObject({ reason: 'the secret is wrong' });
    expect(await fleet.enroll(token.text)).toMatchObject({ status: 200 });
  });

  it('issues nothing for a request that its own key has not signed, and burns no use', async () => {
    const token = await fleet.newToken();
    const csr = certificateRequest(newKey());
    csr[csr.length - 1]! ^= 1;
    expect(await fleet.enroll(token.text, { csr })).toMatchObject({ status: 400, code: 'request.invalid' });
    expect(await fleet.enroll(token.text)).toMatchObject({ status: 200 });
  });
});

describe('fault 2: a hundred claims of a one-use token at once', () => {
  it('make exactly one node', async () => {
    const token = await fleet.newToken();
    const before = await nodesNow();
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => fleet.enroll(token.text)));
    expect(outcomes.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(outcomes.filter(({ status }) => status === 401)).toHaveLength(99);
    expect(await nodesNow()).toBe(before + 1);
  });
});

describe('fault 3: the answer is lost after the commit', () => {
  it('gives the retry the same node and certificate and takes no further use', async () => {
    const token = await fleet.newToken();
    const same = { key: newKey(), uuid: randomUUID() };
    const first = await fleet.enroll(token.text, same);
    const second = await fleet.enroll(token.text, same);
    expect(second).toEqual(first);
    expect(first.status).toBe(200);
    expect((await fleet.admin<{ uses: number }>('SELECT uses FROM palisade.enrollment_tokens WHERE id = $1', [token.id]))[0]?.uses).toBe(1);
  });

  it('is a conflict with another key', async () => {
    const token = await fleet.newToken({ maxUses: 2 });
    const uuid = randomUUID();
    await fleet.enroll(token.text, { uuid });
    expect(await fleet.enroll(token.text, { uuid })).toMatchObject({ status: 409, code: 'resource.conflict' });
  });
});

describe('a token that demands evidence', () => {
  const evidence = (text: string) => [{ type: 'aws-iid', document: Buffer.from(text) }];
  it.each([
    ['none is sent', [], 'none was sent'],
    ['it is not believed', evidence('forged'), 'was not believed'],
    ['it is of another kind', [{ type: 'k8s-sat', document: Buffer.from('good pod-1') }], 'none was sent'],
  ])('refuses when %s, audited with the reason', async (_what, sent, reason) => {
    const token = await fleet.newToken({ requiredAttestation: 'aws-iid' });
    expect(await fleet.enroll(token.text, { evidence: sent })).toMatchObject({ status: 401 });
    expect((await fleet.auditOf('node.enrollment-refused')).at(-1)?.details?.['reason']).toContain(reason);
  });

  it('enrolls a machine once and records what it showed', async () => {
    const token = await fleet.newToken({ requiredAttestation: 'aws-iid', maxUses: 5 });
    const first = await fleet.enroll(token.text, { evidence: evidence('good aws:1:eu:i-1') });
    if (first.status !== 200) throw new Error(first.detail);
    const [node] = await fleet.admin<{ attestation: object }>('SELECT attestation FROM palisade.nodes WHERE id = $1', [first.nodeId]);
    expect(node?.attestation).toMatchObject({ method: 'aws-iid', subject: 'aws:1:eu:i-1' });
    expect(await fleet.enroll(token.text, { evidence: evidence('good aws:1:eu:i-1') })).toMatchObject({ status: 401 });
    expect(await fleet.enroll(token.text, { evidence: evidence('good aws:1:eu:i-2') })).toMatchObject({ status: 200 });
  });
});

describe('an issued certificate', () => {
  it('lives 24 hours, begins 10 s early, and names the node by its SPIFFE id only', async () => {
    const outcome = await fleet.enroll((await fleet.newToken()).text);
    if (outcome.status !== 200) throw new Error(outcome.detail);
    const leaf = new X509Certificate(outcome.certificateChain);
    const lifetimeMs = Date.parse(leaf.validTo) - Date.parse(leaf.validFrom);
    expect(lifetimeMs).toBe(24 * 3600_000 + 10_000);
    expect(Date.parse(leaf.validFrom)).toBeLessThanOrEqual(Date.now() - 9_000);
    expect(leaf.subjectAltName).toBe(`URI:spiffe://palisade.test/tenant/${fleet.context.tenantId}/cluster/${fleet.clusterId}/node/${outcome.nodeId}`);
    expect(leaf.ca).toBe(false);
  });
});

async function enrolledNode() {
  const key = newKey();
  const outcome = await fleet.enroll((await fleet.newToken()).text, { key });
  if (outcome.status !== 200) throw new Error(outcome.detail);
  return { key, nodeId: outcome.nodeId, chain: outcome.certificateChain };
}

describe('fault 5: a cloned disk', () => {
  const renewal = (nodeId: string, serial: string, key: ReturnType<typeof newKey>) =>
    fleet.renew.execute({ tenantId: fleet.context.tenantId, nodeId, csr: certificateRequest(key), presentedSerial: serial, replacesSerial: serial, sourceAddress: '127.0.0.1' });

  it('locks the node at the second renewal of one serial, audits it, and refuses it from then on', async () => {
    const node = await enrolledNode();
    const serial = serialOf(node.chain);
    const first = await renewal(node.nodeId, serial, node.key);
    if (first.status !== 200) throw new Error(first.detail);
    await fleet.checkIn(node.nodeId, {}, { serial: serialOf(first.certificateChain) });
    expect(await renewal(node.nodeId, serial, node.key)).toMatchObject({ status: 403 });
    expect((await fleet.checkIn(node.nodeId)).get(node.nodeId)?.nodeState).toBe('locked');
    expect((await fleet.auditOf('node.locked')).at(-1)).toMatchObject({ outcome: 'denied' });
    expect(await renewal(node.nodeId, serialOf(first.certificateChain), node.key)).toMatchObject({ status: 403 });
  });

  it('wakes the gateways when it locks: what they remember of the node ends', async () => {
    const woken: unknown[] = [];
    const listener = new WakeListener({ url: fleet.database.gatewayUrl, applicationName: 'test-wake', onWake: (wake) => void woken.push(wake), onError: () => undefined });
    await listener.start();
    const node = await enrolledNode();
    await renewal(node.nodeId, serialOf(node.chain), node.key);
    await renewal(node.nodeId, serialOf(node.chain), newKey());
    await vi.waitFor(() => expect(woken).toContainEqual({ topic: 'node-state', tenant: fleet.context.tenantId, cluster: fleet.clusterId }));
    await listener.close();
  });

  it('locks it at once when the second renewal brings another key', async () => {
    const node = await enrolledNode();
    await renewal(node.nodeId, serialOf(node.chain), node.key);
    expect(await renewal(node.nodeId, serialOf(node.chain), newKey())).toMatchObject({ status: 403 });
  });

  it('is not seen in the retry of a renewal whose answer was lost', async () => {
    const node = await enrolledNode();
    const first = await renewal(node.nodeId, serialOf(node.chain), node.key);
    expect(await renewal(node.nodeId, serialOf(node.chain), node.key)).toEqual(first);
  });

  it('does not let a connection renew a serial that is not its own', async () => {
    const [one, other] = [await enrolledNode(), await enrolledNode()];
    const outcome = await fleet.renew.execute({ tenantId: fleet.context.tenantId, nodeId: one.nodeId, csr: certificateRequest(one.key), presentedSerial: serialOf(one.chain), replacesSerial: serialOf(other.chain), sourceAddress: '127.0.0.1' });
    expect(outcome).toMatchObject({ status: 400 });
  });
});

describe('fault 8: recovery by challenge', () => {
  const challenge = async (nodeId: string): Promise<Buffer> => {
    const nonce = randomBytes(32);
    await fleet.admin("INSERT INTO palisade.recovery_challenges (nonce, node_id, expires_at) VALUES ($1, $2, now() + interval '1 minute')", [nonce, nodeId]);
    return nonce;
  };
  const recover = (nodeId: string, nonce: Buffer, signer: ReturnType<typeof newKey>, key = signer) =>
    fleet.recover.execute({ nodeId, nonce, csr: certificateRequest(key), signature: sign('sha256', Buffer.concat([Buffer.from('palisade-recover-v1\n'), nonce]), signer), sourceAddress: '127.0.0.1' });

  it('gives a certificate for a signature with the bound key, once for each nonce', async () => {
    const node = await enrolledNode();
    const nonce = await challenge(node.nodeId);
    expect(await recover(node.nodeId, nonce, node.key)).toMatchObject({ status: 200, nodeId: node.nodeId });
    expect(await recover(node.nodeId, nonce, node.key)).toMatchObject({ status: 401 });
  });

  it.each([
    ['another key', async (node: { nodeId: string }) => recover(node.nodeId, await challenge(node.nodeId), newKey())],
    ['a nonce of another node', async (node: { nodeId: string; key: ReturnType<typeof newKey> }) => recover(node.nodeId, await challenge((await enrolledNode()).nodeId), node.key)],
    ['a nonce that nobody gave', async (node: { nodeId: string; key: ReturnType<typeof newKey> }) => recover(node.nodeId, randomBytes(32), node.key)],
  ])('refuses %s', async (_what, attempt) => {
    expect(await attempt(await enrolledNode())).toMatchObject({ status: 401, code: 'auth.unauthenticated' });
  });

  it('refuses a revoked node', async () => {
    const node = await enrolledNode();
    await fleet.admin("UPDATE palisade.nodes SET state = 'revoked' WHERE id = $1", [node.nodeId]);
    expect(await recover(node.nodeId, await challenge(node.nodeId), node.key)).toMatchObject({ status: 401 });
  });
});

describe('a suspended tenant', () => {
  const suspend = (value: string) => fleet.admin(`UPDATE palisade.tenants SET suspended_at = ${value} WHERE tenant_id = $1`, [fleet.context.tenantId]);

  it('is refused at its nodes’ next check-in, at enrollment, renewal and recovery, and served again afterwards', async () => {
    const [node] = (await fleet.nodes(1)) as [TestNode];
    const token = await fleet.newToken();
    const [certificate] = await fleet.admin<{ serial: string }>('SELECT serial FROM palisade.node_certificates WHERE node_id = $1', [node.nodeId]);
    await suspend('now()');
    expect((await fleet.checkIn(node.nodeId)).get(node.nodeId)).toMatchObject({ nodeState: 'suspended' });
    expect(await fleet.enroll(token.text)).toMatchObject({ status: 401, code: 'auth.unauthenticated' });
    expect((await fleet.auditOf('node.enrollment-refused')).at(-1)?.details?.['reason']).toBe('the tenant is suspended');
    const { serial } = certificate!;
    expect(await fleet.renew.execute({ tenantId: fleet.context.tenantId, nodeId: node.nodeId, presentedSerial: serial, replacesSerial: serial, csr: certificateRequest(node.key), sourceAddress: '127.0.0.1' })).toMatchObject({ status: 403, detail: expect.stringContaining('suspended') });
    await suspend('NULL');
    expect((await fleet.checkIn(node.nodeId)).get(node.nodeId)).toMatchObject({ nodeState: 'active' });
    expect(await fleet.enroll(token.text)).toMatchObject({ status: 200 });
  });
});

describe('a token', () => {
  it('binds its labels to every node that it enrolls, whatever the node says', async () => {
    const token = await fleet.newToken({ maxUses: 2, labels: { ring: 'early' } });
    const outcomes = [await fleet.enroll(token.text), await fleet.enroll(token.text)];
    for (const outcome of outcomes) {
      const [row] = await fleet.admin<{ labels: Record<string, string> }>('SELECT labels FROM palisade.nodes WHERE id = $1', [outcome.status === 200 ? outcome.nodeId : '']);
      expect(row?.labels).toEqual({ ring: 'early' });
    }
  });

  it('is not revived when its node is revoked or removed', async () => {
    const token = await fleet.newToken();
    const outcome = await fleet.enroll(token.text);
    if (outcome.status !== 200) throw new Error(outcome.detail);
    await fleet.admin("UPDATE palisade.nodes SET state = 'revoked' WHERE id = $1", [outcome.nodeId]);
    expect(await fleet.enroll(token.text)).toMatchObject({ status: 401 });
    await fleet.admin('DELETE FROM palisade.node_certificates WHERE node_id = $1', [outcome.nodeId]);
    await fleet.admin('DELETE FROM palisade.nodes WHERE id = $1', [outcome.nodeId]);
    expect(await fleet.enroll(token.text)).toMatchObject({ status: 401 });
    expect((await fleet.auditOf('node.enrollment-refused')).at(-1)?.details?.['reason']).toBe('all 1 uses are taken');
  });
});
