import { createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyAwsIdentity } from './aws-iid.ts';
import { verifyAzureAttested } from './azure-imds.ts';
import { reviewServiceAccountToken, verifyServiceAccountToken } from './k8s-sat.ts';
import { signedMessage, signedToken, testCertificate, type TestCertificate } from './testing/self-made-evidence.ts';

let aws: TestCertificate;
let root: TestCertificate;
let intermediate: TestCertificate;
let metadata: TestCertificate;
let stranger: TestCertificate;

beforeAll(async () => {
  aws = await testCertificate('ec2.amazonaws.com');
  root = await testCertificate('root', { ca: true });
  intermediate = await testCertificate('intermediate', { ca: true, issuer: root });
  metadata = await testCertificate('metadata', { issuer: intermediate, host: 'metadata.azure.com' });
  stranger = await testCertificate('stranger', { ca: true, host: 'metadata.azure.com' });
}, 60_000);

describe('AWS instance identity documents', () => {
  const document = { accountId: '123456789012', region: 'eu-central-1', instanceId: 'i-0abc', imageId: 'ami-1', architecture: 'x86_64', pendingTime: '2026-11-22T10:00:00Z' };
  const check = (evidence: Uint8Array, accounts?: readonly string[]) => verifyAwsIdentity(evidence, { certificates: { 'eu-central-1': aws.pem }, ...(accounts && { accounts }) });

  it('are believed when AWS signed them, with or without signed attributes, in DER and base64', async () => {
    for (const attributes of [true, false]) {
      const der = signedMessage(JSON.stringify(document), aws, { attributes });
      for (const evidence of [der, Buffer.from(der.toString('base64').replace(/.{64}/g, '$&\n'))]) {
        expect(await check(evidence)).toMatchObject({ ok: true, machine: { method: 'aws-iid', subject: 'aws:123456789012:eu-central-1:i-0abc' } });
      }
    }
  });

  it('are refused from another key, altered, for another region, account or with parts missing', async () => {
    const text = JSON.stringify(document);
    const altered = Buffer.from(signedMessage(text, aws));
    altered.set(Buffer.from('i-0evil'.slice(0, 6)), altered.indexOf('i-0abc'));
    expect(await check(signedMessage(text, stranger))).toMatchObject({ ok: false, fault: 'bad-signature' });
    expect(await check(altered)).toMatchObject({ ok: false, fault: 'bad-signature' });
    expect(await check(signedMessage(text, aws, { digestOf: 'something else' }))).toMatchObject({ ok: false, fault: 'bad-signature' });
    expect(await check(signedMessage(JSON.stringify({ ...document, region: 'us-east-1' }), aws))).toMatchObject({ ok: false, fault: 'untrusted' });
    expect(await check(signedMessage(JSON.stringify({ ...document, region: '__proto__' }), aws))).toMatchObject({ ok: false, fault: 'untrusted' });
    expect(await check(signedMessage(text, aws), ['999999999999'])).toMatchObject({ ok: false, fault: 'not-allowed' });
    expect(await check(signedMessage(JSON.stringify({ ...document, instanceId: 7 }), aws))).toMatchObject({ ok: false, fault: 'malformed' });
  });

  it('are refused, not crashed on, with any one byte turned into another kind of element', async () => {
    const good = signedMessage(JSON.stringify(document), aws);
    const until = good.length - 256; // the signature's own bytes have no kind
    for (let at = 0; at < until; at++) {
      for (const flipped of [0x01, 0x20, 0x80]) {
        const evidence = Buffer.from(good);
        evidence[at] = (evidence[at] ?? 0) ^ flipped;
        expect(await check(evidence), `byte ${at} ^ ${flipped}`).toHaveProperty('ok');
      }
    }
  });

  it('never crash on other bytes', async () => {
    const good = signedMessage(JSON.stringify(document), aws);
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.tuple(fc.nat(good.length - 1), fc.nat(255)).map(([at, value]) => Buffer.from(good).fill(value, at, at + 1))), async (evidence) => {
        const verdict = await check(evidence);
        if (verdict.ok) expect(Buffer.from(evidence).includes('i-0abc')).toBe(true);
      }),
      { numRuns: 300 },
    );
    expect(await check(Buffer.alloc(1_000_000, 0x30))).toMatchObject({ ok: false, fault: 'malformed' });
  });
});

describe('Azure attested documents', () => {
  const NOW = Date.UTC(2026, 10, 22, 12);
  const document = { nonce: 'abc123', vmId: 'vm-1', subscriptionId: 'sub-1', timeStamp: { createdOn: '11/22/26 11:55:00 -0000', expiresOn: '11/22/26 17:55:00 -0000' } };
  const check = (evidence: Uint8Array, overrides = {}) => verifyAzureAttested(evidence, { roots: [root.pem], nonce: 'abc123', nowMs: Date.now(), ...overrides });
  const current = () => {
    const format = (ms: number) => {
      const iso = new Date(ms).toISOString();
      return `${iso.slice(5, 7)}/${iso.slice(8, 10)}/${iso.slice(2, 4)} ${iso.slice(11, 19)} -0000`;
    };
    return { ...document, timeStamp: { createdOn: format(Date.now() - 60_000), expiresOn: format(Date.now() + 3600_000) } };
  };
  const sealed = (content: unknown = current(), signer = metadata, chain = [metadata, intermediate]) => signedMessage(JSON.stringify(content), signer, { chain });

  it('are believed for our nonce, from the metadata service, through its chain', async () => {
    expect(await check(sealed())).toMatchObject({ ok: true, machine: { method: 'azure-imds', subject: 'azure:sub-1:vm-1' } });
  });

  it('are refused for another nonce or subscription, out of their time, or off the chain', async () => {
    expect(await check(sealed(), { nonce: 'other' })).toMatchObject({ ok: false, fault: 'wrong-nonce' });
    expect(await check(sealed(), { subscriptions: ['sub-2'] })).toMatchObject({ ok: false, fault: 'not-allowed' });
    expect(await check(sealed({ ...current(), timeStamp: { createdOn: '11/22/20 11:55:00 -0000', expiresOn: '11/22/20 17:55:00 -0000' } }))).toMatchObject({ ok: false, fault: 'expired' });
    expect(await check(sealed(), { nowMs: NOW + 400 * 86_400_000 })).toMatchObject({ ok: false, fault: 'expired' });
    expect(await check(sealed(current(), metadata, [metadata]))).toMatchObject({ ok: false, fault: 'untrusted' });
    expect(await check(sealed(current(), stranger, [stranger]))).toMatchObject({ ok: false, fault: 'untrusted' });
    expect(await check(sealed(current(), stranger, [metadata, intermediate]))).toMatchObject({ ok: false, fault: 'bad-signature' });
    const otherHost = await testCertificate('other', { issuer: intermediate, host: 'metadata.azure.com.evil.example' });
    expect(await check(sealed(current(), otherHost, [otherHost, intermediate]))).toMatchObject({ ok: false, fault: 'untrusted' });
  }, 30_000);
});

describe('Kubernetes service-account tokens', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ec = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const jwk = (key: typeof rsa.publicKey): JsonWebKey => ({ ...key.export({ format: 'jwk' }), kid: 'key-1' });
  const nowS = Math.floor(Date.now() / 1000);
  const claims = {
    iss: 'https://cluster', aud: ['palisade'], exp: nowS + 600, nbf: nowS - 1, sub: 'system:serviceaccount:palisade:agent',
    'kubernetes.io': { namespace: 'palisade', serviceaccount: { name: 'agent', uid: 'u1' }, pod: { name: 'agent-x', uid: 'pod-uid' }, node: { name: 'node-a' } },
  };
  const check = (token: string, key = rsa.publicKey) => verifyServiceAccountToken(token, { issuer: 'https://cluster', audience: 'palisade', keys: [jwk(key)], serviceAccounts: ['palisade/agent'], nowMs: Date.now() });

  it('are believed when the cluster signed them for us', async () => {
    expect(await check(signedToken(claims, rsa.privateKey))).toMatchObject({ ok: true, machine: { subject: 'k8s:pod-uid', claims: { node: 'node-a' } } });
    expect(await check(signedToken(claims, ec.privateKey), ec.publicKey)).toMatchObject({ ok: true });
  });

  it.each([
    ['for another audience', { ...claims, aud: ['kubernetes'] }, 'wrong-audience'],
    ['of another cluster', { ...claims, iss: 'https://other' }, 'untrusted'],
    ['that have expired', { ...claims, exp: nowS - 120 }, 'expired'],
    ['that are not valid yet', { ...claims, nbf: nowS + 600 }, 'expired'],
    ['that are not bound to a pod', { ...claims, 'kubernetes.io': { ...claims['kubernetes.io'], pod: undefined } }, 'malformed'],
    ['whose subject is another account', { ...claims, sub: 'system:serviceaccount:kube-system:admin' }, 'malformed'],
  ])('are refused %s', async (_what, changed, fault) => {
    expect(await check(signedToken(changed, rsa.privateKey))).toMatchObject({ ok: false, fault });
  });

  it('are refused when nobody, another key, or the public key as a secret signed them', async () => {
    const [head, body] = signedToken(claims, rsa.privateKey).split('.') as [string, string];
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'key-1' })).toString('base64url');
    expect(await check(`${none}.${body}.AA`)).toMatchObject({ ok: false, fault: 'malformed' });
    expect(await check(`${head}.${body}.`)).toMatchObject({ ok: false, fault: 'malformed' });
    expect(await check(signedToken(claims, rsa.privateKey, { alg: 'HS256' }))).toMatchObject({ ok: false, fault: 'malformed' });
    expect(await check(signedToken(claims, rsa.privateKey, { kid: 'key-2' }))).toMatchObject({ ok: false, fault: 'untrusted' });
    expect(await check(signedToken(claims, generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey))).toMatchObject({ ok: false, fault: 'bad-signature' });
    expect(createPublicKey(rsa.privateKey).type).toBe('public');
  });

  describe('reviewed by the cluster', () => {
    let server: Server;
    let answer: unknown;
    let status = 201;
    const good = { authenticated: true, audiences: ['palisade'], user: { username: 'system:serviceaccount:palisade:agent', extra: { 'authentication.kubernetes.io/pod-name': ['agent-x'], 'authentication.kubernetes.io/pod-uid': ['pod-uid'] } } };

    beforeAll(async () => {
      server = createServer((request, response) => {
        const authorized = request.headers.authorization === 'Bearer reviewer' && request.url === '/apis/authentication.k8s.io/v1/tokenreviews';
        response.writeHead(authorized ? status : 403, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ status: answer }));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    });
    afterAll(() => new Promise((resolve) => server.close(resolve)));

    const review = (bearer = 'reviewer') => reviewServiceAccountToken('token', { apiServer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bearer, audience: 'palisade', serviceAccounts: ['palisade/agent'] });

    it.each([
      ['known', good, { ok: true, machine: { subject: 'k8s:pod-uid' } }],
      ['unknown', { authenticated: false }, { ok: false, fault: 'bad-signature' }],
      ['not checked for our audience', { ...good, audiences: [] }, { ok: false, fault: 'wrong-audience' }],
      ['of a person', { ...good, user: { username: 'admin' } }, { ok: false, fault: 'not-allowed' }],
      ['of another account', { ...good, user: { ...good.user, username: 'system:serviceaccount:a:b' } }, { ok: false, fault: 'not-allowed' }],
      ['without a pod', { ...good, user: { username: good.user.username } }, { ok: false, fault: 'not-allowed' }],
    ])('are judged by the answer: %s', async (_what, given, wanted) => {
      answer = given;
      expect(await review()).toMatchObject(wanted);
    });

    it('are not believed when the cluster does not answer', async () => {
      status = 500;
      expect(await review()).toMatchObject({ ok: false, fault: 'unavailable' });
      status = 201;
      expect(await review('other')).toMatchObject({ ok: false, fault: 'unavailable' });
    });
  });
});
