import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { parseRoot, sealEpochRecovery, signMore, trustPin, tufKeyId, tufKeyOf, type RootFile, type RootRole } from '@palisade/bundle';
import { openFileSigner, readOrCreateKeyFile } from '@palisade/keys';
import { createAuthority, issueServerCertificate } from '../certificates.ts';
import { writeDurably } from '../durable-file.ts';
import { nextVersionOf, replaceKey, withoutKey, withRole } from './change-root.ts';
import { KeyFolder } from './key-folder.ts';

const YEAR_DAYS = 365;

/** A new key for a role whose key is a file here; the old one is kept as `<file>.retired-<version>`. */
export async function rotateRole(folder: KeyFolder, role: RootRole, now: Date): Promise<RootFile> {
  folder.promote();
  const root = folder.newestRoot();
  const next = folder.nextSigner(role);
  const old = existsSync(folder.keyFile(role)) ? folder.signer(role).keyId : undefined;
  const input = replaceKey(nextVersionOf(root, now), role, old, next.key, tufKeyId);
  const written = await folder.writeRoot(input, role === 'root' ? [next] : []);
  folder.promote();
  return written;
}

/** Gives a role a key that is somewhere else (a key management service, a token): its public key as PEM. The role's other keys go. */
export async function setRoleKeys(folder: KeyFolder, role: RootRole, publicKeyFiles: readonly string[], threshold: number, now: Date): Promise<RootFile> {
  const keys = publicKeyFiles.map((file) => tufKeyOf(createPublicKey(readFileSync(file))));
  return folder.writeRoot(withRole(nextVersionOf(folder.newestRoot(), now), role, { keys, threshold }));
}

/** Takes a key out of every role, at once. What it signed is not believed by nodes that have seen the new root. */
export async function revokeKey(folder: KeyFolder, keyId: string, now: Date): Promise<RootFile> {
  return folder.writeRoot(withoutKey(nextVersionOf(folder.newestRoot(), now), keyId, tufKeyId));
}

/** The same root for another year. */
export async function renewRoot(folder: KeyFolder, now: Date): Promise<RootFile> {
  return folder.writeRoot(nextVersionOf(folder.newestRoot(), now));
}

/** Adds this root key's signature to a root that another holder prepared; it is published once the chain verifies. */
export async function signRoot(folder: KeyFolder, file: string): Promise<'published' | 'more-signatures-needed'> {
  const bytes = await signMore(readFileSync(file), folder.signer('root'));
  writeDurably(file, bytes);
  const present = folder.newestRoot();
  const { version } = parseRoot(bytes).signed;
  if (version !== present.signed.version + 1) throw new Error(`The next root is version ${present.signed.version + 1}, ${file} is ${version}.`);
  if (!folder.wouldBelieve(bytes)) return 'more-signatures-needed';
  folder.publishRoot(bytes);
  return 'published';
}

/**
 * A new certificate authority beside the old one: the root vouches for both. For `node-ca` new certificates come from
 * the new one at once. For `gateway-ca` the server certificate is switched later (`switch-gateway`), when the nodes
 * have the new root; nodes that missed it follow the chain by themselves.
 */
export async function rotateAuthority(folder: KeyFolder, kind: 'node-ca' | 'gateway-ca', now: Date): Promise<RootFile> {
  const place = kind === 'node-ca' ? 'worker/node-ca' : 'root/gateway-ca';
  const label = kind === 'node-ca' ? 'Palisade node CA' : 'Palisade gateway CA';
  const input = nextVersionOf(folder.newestRoot(), now);
  const pinned = kind === 'node-ca' ? input.pinned.nodeCas : input.pinned.gatewayCas;
  const certificateFile = folder.path(`${place}.crt.next`);
  const key = readOrCreateKeyFile(folder.path(`${place}.key.next`), 'p256');
  if (!existsSync(certificateFile)) writeDurably(certificateFile, await createAuthority(`${label} ${input.version}`, key, 10 * YEAR_DAYS, now));
  const certificate = folder.read(`${place}.crt.next`);
  const both = [certificate, ...pinned.filter((pem) => pem !== certificate)];
  const root = await folder.writeRoot({ ...input, pinned: { ...input.pinned, ...(kind === 'node-ca' ? { nodeCas: both } : { gatewayCas: both }) } });
  if (kind === 'node-ca') writeDurably(folder.path('gateway/node-ca.crt'), both.join(''));
  for (const end of ['key', 'crt']) {
    renameSync(folder.path(`${place}.${end}`), folder.path(`${place}.${end}.retired-${root.signed.version}`));
    renameSync(folder.path(`${place}.${end}.next`), folder.path(`${place}.${end}`));
  }
  return root;
}

/** Takes the older authorities of a kind out of the root: what they issued is not accepted any more. */
export async function retireAuthorities(folder: KeyFolder, kind: 'node-ca' | 'gateway-ca', now: Date): Promise<RootFile> {
  const input = nextVersionOf(folder.newestRoot(), now);
  const newest = (pems: readonly string[]) => pems.slice(0, 1);
  const change = kind === 'node-ca' ? { nodeCas: newest(input.pinned.nodeCas) } : { gatewayCas: newest(input.pinned.gatewayCas) };
  const root = await folder.writeRoot({ ...input, pinned: { ...input.pinned, ...change } });
  if (kind === 'node-ca') writeDurably(folder.path('gateway/node-ca.crt'), root.signed.pinned.nodeCas.join(''));
  return root;
}

/** A server certificate from the newest gateway CA. */
export async function switchGateway(folder: KeyFolder, hosts: readonly string[], now: Date): Promise<void> {
  const authority = { certificatePem: folder.read('root/gateway-ca.crt'), key: readOrCreateKeyFile(folder.path('root/gateway-ca.key'), 'p256') };
  const key = readOrCreateKeyFile(folder.path('gateway/server.key'), 'p256');
  writeDurably(folder.path('gateway/server.crt'), await issueServerCertificate(authority, key, hosts, YEAR_DAYS, now));
}

/** The command that opens a new epoch for a cluster whose database was restored. @returns the file */
export async function recoverEpoch(folder: KeyFolder, scope: { readonly tenantId: string; readonly clusterId: string }, epoch: bigint): Promise<string> {
  const file = folder.path(`worker/recovery/${scope.tenantId}.${scope.clusterId}.json`);
  writeDurably(file, await sealEpochRecovery({ ...scope, epoch }, [folder.signer('root')]));
  return file;
}

/** What the root says now, for people. */
export function describeRoot(folder: KeyFolder): string {
  const { signed } = folder.newestRoot();
  const own = (role: RootRole) => (existsSync(folder.keyFile(role)) ? openFileSigner(folder.keyFile(role)).keyId : '');
  const roles = (Object.keys(signed.roles) as RootRole[]).map((role) => {
    const { keys, threshold } = signed.roles[role];
    const ids = [...keys.keys()].map((id) => `    ${id}${id === own(role) ? ' (file here)' : ''}`);
    return [`  ${role === 'targets' ? 'image (targets)' : role}: ${threshold} of ${keys.size}`, ...ids].join('\n');
  });
  return [
    `root version ${signed.version}, expires ${new Date(signed.expiresMs).toISOString()}`,
    `trust domain ${signed.pinned.trustDomain}, ${signed.pinned.nodeCas.length} node CA, ${signed.pinned.gatewayCas.length} gateway CA`,
    `trust pin ${trustPin(readFileSync(folder.path('worker/roots/1.root.json')))}`,
    ...roles,
    '',
  ].join('\n');
}
