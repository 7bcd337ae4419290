import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acceptEpochRecovery, restoreTrust, trustByPin, updateRoots, type TrustedState } from '@palisade/bundle';
import { openFileSigner, openWorkerKeys, readRootChain } from '@palisade/keys';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { initKeys } from '../init-keys.ts';
import { describeRoot, recoverEpoch, renewRoot, retireAuthorities, revokeKey, rotateAuthority, rotateRole, setRoleKeys, signRoot, switchGateway } from './ceremonies.ts';
import { KeyFolder } from './key-folder.ts';

let dir: string;
let pin: string;
let folder: KeyFolder;
const now = new Date();

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-ceremony-'));
  pin = (await initKeys({ dir, gatewayHosts: ['10.1.2.3'], trustDomain: 'palisade.test', now })).trustPin;
  folder = new KeyFolder(dir);
});
afterEach(() => rmSync(dir, { recursive: true }));

/** What a node that has only the first pin believes after following the chain. */
function asNode(): TrustedState {
  const [first, ...rest] = readRootChain(join(dir, 'worker/roots'));
  const start = trustByPin(first as Uint8Array, pin);
  const step = start.ok ? updateRoots(start.state, rest) : start;
  if (!step.ok) throw new Error(step.message);
  return step.state;
}

describe('rotation', () => {
  it.each(['root', 'targets', 'director', 'snapshot', 'timestamp'] as const)('of the %s key leaves a chain that a node follows with its first pin', async (role) => {
    const old = folder.signer(role).keyId;
    await rotateRole(folder, role, now);
    const keys = [...asNode().root.signed.roles[role].keys.keys()];
    expect(keys).toEqual([folder.signer(role).keyId]);
    expect(keys).not.toContain(old);
    expect(openFileSigner(`${folder.keyFile(role)}.retired-2`).keyId).toBe(old);
    openWorkerKeys(join(dir, 'worker'));
  });

  it('of the root key twice: the first one cannot sign any more', async () => {
    cpSync(folder.keyFile('root'), join(dir, 'stolen.key'));
    await rotateRole(folder, 'root', now);
    await rotateRole(folder, 'root', now);
    expect(asNode().root.signed.version).toBe(3);
    cpSync(join(dir, 'stolen.key'), folder.keyFile('root'));
    await expect(renewRoot(folder, now)).rejects.toThrow(/below-threshold|not believed/);
  });

  it('is finished by the next command when it was interrupted after the root was written', async () => {
    const next = folder.nextSigner('director');
    const interrupted = new KeyFolder(dir);
    interrupted.promote = () => undefined;
    await rotateRole(interrupted, 'director', now);
    expect(folder.signer('director').keyId).not.toBe(next.keyId);
    folder.promote();
    expect(folder.signer('director').keyId).toBe(next.keyId);
  });
});

describe('keys held elsewhere', () => {
  const publicKeyFile = (name: string) => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    writeFileSync(join(dir, name), publicKey.export({ type: 'spki', format: 'pem' }));
    return join(dir, name);
  };

  it('take the place of a role\'s keys, with a threshold', async () => {
    await setRoleKeys(folder, 'targets', [publicKeyFile('a.pem'), publicKeyFile('b.pem')], 2, now);
    expect(asNode().root.signed.roles.targets).toMatchObject({ threshold: 2 });
    expect(asNode().root.signed.roles.targets.keys.size).toBe(2);
  });

  it('can be revoked while enough are left', async () => {
    await setRoleKeys(folder, 'director', [publicKeyFile('a.pem'), publicKeyFile('b.pem')], 1, now);
    const [first, second] = [...asNode().root.signed.roles.director.keys.keys()] as [string, string];
    await revokeKey(folder, first, now);
    expect([...asNode().root.signed.roles.director.keys.keys()]).toEqual([second]);
    await expect(revokeKey(folder, second, now)).rejects.toThrow(/rotate it instead/);
    await expect(revokeKey(folder, 'f'.repeat(64), now)).rejects.toThrow(/No role/);
  });
});

describe('a root that two must sign', () => {
  it('is published when the second holder has signed, and not before', async () => {
    const second = mkdtempSync(join(tmpdir(), 'palisade-second-'));
    await initKeys({ dir: second, gatewayHosts: [], trustDomain: 'palisade.test', now });
    const holder = new KeyFolder(second);
    const pem = (name: string, signer: KeyFolder) => {
      writeFileSync(join(dir, name), publicPem(signer));
      return join(dir, name);
    };
    await setRoleKeys(folder, 'root', [pem('1.pem', folder), pem('2.pem', holder)], 2, now).catch((error: Error) => expect(error.message).toMatch(/sign-root/));
    const partial = join(dir, 'root/2.root.json.partial');
    expect(asNode().root.signed.version).toBe(1);
    // The second holder works on a copy of the folder with a root key of their own.
    cpSync(holder.keyFile('root'), folder.keyFile('root'));
    expect(await signRoot(folder, partial)).toBe('published');
    expect(asNode().root.signed.roles.root).toMatchObject({ threshold: 2 });
    rmSync(second, { recursive: true });
  });
});

describe('certificate authorities', () => {
  it('the gateway\'s: both are vouched for, then the new one signs the certificate, then the old one goes', async () => {
    const [old] = asNode().root.signed.pinned.gatewayCas;
    await rotateAuthority(folder, 'gateway-ca', now);
    const [fresh] = asNode().root.signed.pinned.gatewayCas;
    expect(asNode().root.signed.pinned.gatewayCas).toEqual([fresh, old]);
    await switchGateway(folder, ['10.1.2.3'], now);
    expect(new X509Certificate(readFileSync(join(dir, 'gateway/server.crt'))).verify(new X509Certificate(fresh as string).publicKey)).toBe(true);
    await retireAuthorities(folder, 'gateway-ca', now);
    expect(asNode().root.signed.pinned.gatewayCas).toEqual([fresh]);
  });

  it('the nodes\': the gateway accepts both until the old one is retired', async () => {
    await rotateAuthority(folder, 'node-ca', now);
    expect(readFileSync(join(dir, 'gateway/node-ca.crt'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(new X509Certificate(openWorkerKeys(join(dir, 'worker')).nodeCa.certificatePem).subject).toMatch(/node CA 2/);
    await retireAuthorities(folder, 'node-ca', now);
    expect(readFileSync(join(dir, 'gateway/node-ca.crt'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  });
});

describe('epoch recovery', () => {
  it('writes a command that nodes of that cluster accept', async () => {
    const scope = { tenantId: 't', clusterId: 'c' };
    const file = await recoverEpoch(folder, scope, 3n);
    expect(acceptEpochRecovery(asNode(), readFileSync(file), scope)).toMatchObject({ ok: true, state: { epoch: 3n } });
  });
});

it('shows roles, keys and the pin', async () => {
  expect(describeRoot(folder)).toContain(pin);
  expect(describeRoot(folder)).toMatch(/image \(targets\): 1 of 1/);
  expect(existsSync(join(dir, 'worker/root.json'))).toBe(true);
  expect(restoreTrust({ root: readFileSync(join(dir, 'worker/root.json')) })).toMatchObject({ ok: true });
});

function publicPem(holder: KeyFolder): string {
  const { key } = holder.signer('root');
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(key.keyval.public, 'hex')]).toString('base64');
  return `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`;
}
