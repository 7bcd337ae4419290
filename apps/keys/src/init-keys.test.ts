import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseRoot, trustByPin } from '@palisade/bundle';
import { openWorkerKeys } from '@palisade/keys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initKeys } from './init-keys.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-keys-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const options = () => ({ dir, gatewayHosts: ['10.1.2.3', 'gateway.example'], trustDomain: 'palisade.test', now: new Date() });

describe('palisade-keys init', () => {
  it('creates a root that its trust pin vouches for, with both certificate authorities inside', async () => {
    const { trustPin } = await initKeys(options());
    const root = readFileSync(join(dir, 'worker/roots/1.root.json'));
    expect(trustByPin(root, trustPin)).toMatchObject({ ok: true });
    expect(readFileSync(join(dir, 'trust-pin'), 'utf8').trim()).toBe(trustPin);
    expect(parseRoot(root).signed.pinned).toEqual({
      trustDomain: 'palisade.test',
      nodeCas: [readFileSync(join(dir, 'worker/node-ca.crt'), 'utf8')],
      gatewayCas: [readFileSync(join(dir, 'root/gateway-ca.crt'), 'utf8')],
    });
  });

  it('issues the gateway a certificate for its hosts and leaves no private key readable by others', async () => {
    await initKeys(options());
    const server = new X509Certificate(readFileSync(join(dir, 'gateway/server.crt')));
    expect([server.checkIP('10.1.2.3'), server.checkHost('gateway.example'), server.checkIP('127.0.0.1')]).not.toContain(undefined);
    for (const file of ['root/root.key', 'worker/image.key', 'worker/node-ca.key', 'gateway/server.key']) {
      expect(statSync(join(dir, file)).mode & 0o777, file).toBe(0o600);
    }
  });

  it('changes nothing when it is run again, and finishes what was interrupted', async () => {
    const first = await initKeys(options());
    expect(await initKeys(options())).toEqual({ trustPin: first.trustPin, created: [] });
    unlinkSync(join(dir, 'trust-pin'));
    unlinkSync(join(dir, 'gateway/server.crt'));
    expect(await initKeys(options())).toEqual({ trustPin: first.trustPin, created: ['gateway/server.crt'] });
  });

  it('replaces only the server certificate when a host name is added', async () => {
    await initKeys(options());
    const again = await initKeys({ ...options(), gatewayHosts: ['other.example'] });
    expect(again.created).toEqual(['gateway/server.crt']);
  });

  it('gives the worker signers that match the root, and refuses a key that others can read', async () => {
    await initKeys(options());
    const keys = openWorkerKeys(join(dir, 'worker'));
    const { roles } = parseRoot(keys.roots[0] as Uint8Array).signed;
    expect([...roles.director.keys.keys()]).toEqual([keys.director.keyId]);
    expect([...roles.targets.keys.keys()]).toEqual([keys.image?.keyId]);
    chmodSync(join(dir, 'worker/director.key'), 0o640);
    expect(() => openWorkerKeys(join(dir, 'worker'))).toThrow(expect.objectContaining({ code: 'request.invalid' }));
  });
});
