import { parseArgs } from 'node:util';
import { describeRoot, recoverEpoch, renewRoot, retireAuthorities, revokeKey, rotateAuthority, rotateRole, setRoleKeys, signRoot, switchGateway } from './ceremony/ceremonies.ts';
import { KeyFolder } from './ceremony/key-folder.ts';
import { initKeys } from './init-keys.ts';
import type { RootFile, RootRole } from '@palisade/bundle';

const USAGE = `palisade-keys: the key ceremonies. Every command takes --dir DIR, the folder that init made.

  init [--gateway-host NAME|IP …] [--trust-domain DOMAIN]   creates what is absent; prints the trust pin
  show                                        what the newest root says
  rotate --role root|image|director|snapshot|timestamp      a new key file for a role
  rotate --role node-ca|gateway-ca            a new certificate authority beside the old one
  switch-gateway --gateway-host NAME|IP …     the gateway's certificate from the newest gateway CA
  retire --role node-ca|gateway-ca            the older certificate authorities are not accepted any more
  set-keys --role ROLE --public-key FILE … [--threshold N]  keys that are held elsewhere (KMS, tokens, people)
  revoke --key KEYID                          takes a key out of every role
  renew                                       the same root for another year
  sign-root --file FILE                       adds this root key's signature; publishes when enough have signed
  recover-epoch --tenant ID --cluster ID --epoch N          after a database restore

docs/operations.md says when to run which.
`;

const ROLES: Readonly<Record<string, RootRole>> = { root: 'root', image: 'targets', director: 'director', snapshot: 'snapshot', timestamp: 'timestamp' };

function readOptions(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const list = { type: 'string', multiple: true } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      dir: text, role: text, key: text, file: text, threshold: text, tenant: text, cluster: text, epoch: text,
      'gateway-host': list, 'public-key': list, 'trust-domain': { type: 'string', default: 'palisade.local' },
    },
  });
  return values;
}

type Options = ReturnType<typeof readOptions>;

async function main([command = '', ...rest]: readonly string[]): Promise<string> {
  const options = readOptions(rest);
  const dir = needed(options.dir, '--dir DIR');
  const now = new Date();
  if (command === 'init') {
    const result = await initKeys({ dir, gatewayHosts: options['gateway-host'] ?? [], trustDomain: options['trust-domain'], now });
    return [...result.created.map((file) => `created ${file}`), result.trustPin, ''].join('\n');
  }
  const folder = new KeyFolder(dir);
  switch (command) {
    case 'show':
      return describeRoot(folder);
    case 'rotate':
      return published(isAuthority(options.role) ? await rotateAuthority(folder, options.role, now) : await rotateRole(folder, roleOf(options), now));
    case 'retire':
      if (!isAuthority(options.role)) throw new Error('Say which: --role node-ca or --role gateway-ca.');
      return published(await retireAuthorities(folder, options.role, now));
    case 'switch-gateway':
      await switchGateway(folder, neededList(options['gateway-host'], '--gateway-host NAME'), now);
      return 'wrote gateway/server.crt: restart the gateways with it\n';
    case 'set-keys':
      return published(await setRoleKeys(folder, roleOf(options), neededList(options['public-key'], '--public-key FILE'), Number(options.threshold ?? '1'), now));
    case 'revoke':
      return published(await revokeKey(folder, needed(options.key, '--key KEYID'), now));
    case 'renew':
      return published(await renewRoot(folder, now));
    case 'sign-root':
      return `${await signRoot(folder, needed(options.file, '--file FILE'))}\n`;
    case 'recover-epoch':
      return `wrote ${await recoverEpoch(folder, { tenantId: needed(options.tenant, '--tenant ID'), clusterId: needed(options.cluster, '--cluster ID') }, BigInt(needed(options.epoch, '--epoch N')))}\n`;
    default:
      throw new Error(USAGE);
  }
}

function published(root: RootFile): string {
  return `published root version ${root.signed.version}: give worker/ to the worker, which hands the root to every node\n`;
}

function roleOf(options: Options): RootRole {
  const role = ROLES[options.role ?? ''];
  if (role === undefined) throw new Error(`Say which role: --role ${Object.keys(ROLES).join('|')}.`);
  return role;
}

function isAuthority(role: string | undefined): role is 'node-ca' | 'gateway-ca' {
  return role === 'node-ca' || role === 'gateway-ca';
}

function needed(value: string | undefined, what: string): string {
  if (value === undefined) throw new Error(`Say ${what}.\n\n${USAGE}`);
  return value;
}

function neededList(values: readonly string[] | undefined, what: string): readonly string[] {
  return values === undefined ? [needed(undefined, what)] : values;
}

try {
  process.stdout.write(await main(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
