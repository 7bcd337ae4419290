import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { KeyObject } from 'node:crypto';
import { localSigner, sealRoot, trustPin, type RootRole, type TufKey } from '@palisade/bundle';
import { readOrCreateKeyFile } from '@palisade/keys';
import { createAuthority, issueServerCertificate, serverCertificateServes } from './certificates.ts';
import { writeDurably } from './durable-file.ts';

const YEAR_DAYS = 365;
const DAY_MS = 86_400_000;

export interface InitOptions {
  readonly dir: string;
  readonly gatewayHosts: readonly string[];
  readonly trustDomain: string;
  readonly now: Date;
}

export interface InitResult {
  readonly trustPin: string;
  /** What this run created, by file; empty on a repeated run. */
  readonly created: readonly string[];
}

/**
 * The first ceremony. Creates what is absent and leaves everything else alone, so it can be run again after an
 * interruption, and again to add a host name to the gateway's certificate.
 *
 * `root/` is to be taken offline; `worker/` and `gateway/` go to those two hosts and nowhere else.
 */
export async function initKeys(options: InitOptions): Promise<InitResult> {
  const created: string[] = [];
  const path = (...parts: string[]) => join(options.dir, ...parts);
  const note = (file: string) => {
    if (!existsSync(path(file))) created.push(file);
    return path(file);
  };
  for (const folder of ['root', 'worker', 'gateway']) mkdirSync(path(folder), { recursive: true, mode: 0o700 });

  const keys = {
    root: readOrCreateKeyFile(note('root/root.key'), 'ed25519'),
    targets: readOrCreateKeyFile(note('worker/image.key'), 'ed25519'),
    director: readOrCreateKeyFile(note('worker/director.key'), 'ed25519'),
    snapshot: readOrCreateKeyFile(note('worker/snapshot.key'), 'ed25519'),
    timestamp: readOrCreateKeyFile(note('worker/timestamp.key'), 'ed25519'),
  };
  const nodeCa = await authority('Palisade node CA', path('worker/node-ca.crt'), readOrCreateKeyFile(note('worker/node-ca.key'), 'p256'), options.now);
  const gatewayCa = await authority('Palisade gateway CA', path('root/gateway-ca.crt'), readOrCreateKeyFile(note('root/gateway-ca.key'), 'p256'), options.now);

  const firstRoot = note('worker/roots/1.root.json');
  if (!existsSync(firstRoot)) await writeFirstRoot(firstRoot, keys, nodeCa.certificatePem, gatewayCa.certificatePem, options);
  copyIfAbsent(firstRoot, path('root/1.root.json'));
  copyIfAbsent(firstRoot, path('worker/root.json'));
  copyIfAbsent(path('worker/node-ca.crt'), path('gateway/node-ca.crt'));

  const serverKey = readOrCreateKeyFile(note('gateway/server.key'), 'p256');
  const hosts = [...new Set(['localhost', '127.0.0.1', '::1', hostname(), ...options.gatewayHosts])];
  const server = path('gateway/server.crt');
  if (!existsSync(server) || !serverCertificateServes(readFileSync(server, 'utf8'), gatewayCa.certificatePem, hosts, options.now)) {
    writeDurably(server, await issueServerCertificate(gatewayCa, serverKey, hosts, YEAR_DAYS, options.now));
    created.push('gateway/server.crt');
  }
  const pin = trustPin(readFileSync(firstRoot));
  writeDurably(path('trust-pin'), `${pin}\n`);
  return { trustPin: pin, created };
}

async function authority(name: string, certificatePath: string, key: KeyObject, now: Date) {
  if (!existsSync(certificatePath)) writeDurably(certificatePath, await createAuthority(name, key, 10 * YEAR_DAYS, now));
  return { certificatePem: readFileSync(certificatePath, 'utf8'), key };
}

async function writeFirstRoot(path: string, keys: Readonly<Record<RootRole, KeyObject>>, nodeCa: string, gatewayCa: string, options: InitOptions): Promise<void> {
  const role = (key: KeyObject): { keys: TufKey[]; threshold: number } => ({ keys: [localSigner(key).key], threshold: 1 });
  const bytes = await sealRoot(
    {
      version: 1,
      expiresMs: options.now.getTime() + YEAR_DAYS * DAY_MS,
      roles: {
        root: role(keys.root),
        targets: role(keys.targets),
        director: role(keys.director),
        snapshot: role(keys.snapshot),
        timestamp: role(keys.timestamp),
      },
      pinned: { trustDomain: options.trustDomain, nodeCas: [nodeCa], gatewayCas: [gatewayCa] },
    },
    [localSigner(keys.root)],
  );
  writeDurably(path, bytes);
}

function copyIfAbsent(from: string, to: string): void {
  if (!existsSync(to)) writeDurably(to, readFileSync(from));
}
