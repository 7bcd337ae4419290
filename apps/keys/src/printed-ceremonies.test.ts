import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const DOCUMENT = fileURLToPath(new URL('../../../docs/operations.md', import.meta.url));
const COMMAND = /^(?:init|show|rotate|switch-gateway|retire|set-keys|revoke|renew|sign-root|recover-epoch)\b/;
const TENANT = '0f1d3a52-8c1b-4f0e-9a55-2f6f5b1c7d01';

/** What stands in the table of ceremonies: the occasion, and the commands as printed. */
const ceremonies = readFileSync(DOCUMENT, 'utf8')
  .split('## Key ceremonies')[1]!.split('\n## ')[0]!.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| when'))
  .map((line) => {
    const [, when = '', what = ''] = line.split(' | ').length > 1 ? ['', ...line.replace(/^\| /, '').split(' | ')] : [];
    return [when, [...what.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text).filter((text) => COMMAND.test(text))] as const;
  });

describe('the ceremonies as the operations guide prints them', () => {
  let base: string;
  beforeAll(() => {
    base = mkdtempSync(join(tmpdir(), 'palisade-printed-'));
    run(join(base, 'keys'), 'init --gateway-host localhost');
  }, 30_000);
  afterAll(() => rmSync(base, { recursive: true }));

  function run(dir: string, command: string): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--conditions=palisade-src', MAIN, ...command.split(' '), '--dir', dir], { encoding: 'utf8' });
    // A root that others have to sign too is kept for them.
    if (status !== 0 && !stderr.includes('is kept as root/2.root.json.partial')) throw new Error(`${command}: ${stderr}`);
    return stdout;
  }
  const newestRoot = (dir: string): string => readdirSync(join(dir, 'worker/roots')).sort().at(-1) ?? '';
  function publicKeyFile(dir: string, name: string, privateKeyFile?: string): string {
    const key = privateKeyFile === undefined ? generateKeyPairSync('ed25519').publicKey : createPublicKey(readFileSync(privateKeyFile));
    const file = join(dir, name);
    writeFileSync(file, key.export({ type: 'spki', format: 'pem' }));
    return file;
  }

  it('are all there, and name every command', () => {
    const printed = new Set(ceremonies.flatMap(([, commands]) => commands.map((command) => command.split(' ')[0])));
    expect([...printed].sort()).toEqual(['init', 'recover-epoch', 'renew', 'retire', 'revoke', 'rotate', 'set-keys', 'show', 'sign-root', 'switch-gateway']);
  });

  it.each(ceremonies)('%s', (when, commands) => {
    const dir = join(base, `case-${ceremonies.findIndex(([one]) => one === when)}`);
    cpSync(join(base, 'keys'), dir, { recursive: true });
    const other = `${dir}-other`;
    if (commands.some((command) => command.startsWith('revoke'))) {
      // A role with a second key: the one that is lost.
      run(dir, `set-keys --role director --public-key ${publicKeyFile(dir, 'kept.pem', join(dir, 'worker/director.key'))} --public-key ${publicKeyFile(dir, 'lost.pem')}`);
    }
    if (commands.some((command) => command.startsWith('sign-root'))) {
      cpSync(dir, other, { recursive: true });
      rmSync(join(other, 'root/root.key'));
      writeFileSync(join(other, 'root/root.key'), generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    }
    let shown = '';
    for (const printed of commands) {
      const lostKey = /director\b[\s\S]*?([0-9a-f]{64})[\s\S]*?([0-9a-f]{64})/.exec(shown)?.[2] ?? 'none';
      const command = printed
        .replace('NAME', 'localhost').replace('KEYID', lostKey).replace('--tenant T', `--tenant ${TENANT}`).replace('--cluster C', `--cluster ${TENANT}`).replace('--epoch N', '--epoch 2')
        .replace('--public-key FILE', () => `--public-key ${publicKeyFile(dir, 'service.pem')}`)
        .replace('--public-key A', () => `--public-key ${publicKeyFile(dir, 'a.pem', join(dir, 'root/root.key'))}`)
        .replace('--public-key B', () => `--public-key ${publicKeyFile(dir, 'b.pem', join(other, 'root/root.key'))}`)
        .replace(/^sign-root --file$/, () => `sign-root --file ${join(dir, 'root', readdirSync(join(dir, 'root')).find((name) => name.endsWith('.partial')) ?? 'missing')}`);
      const before = newestRoot(dir);
      const output = run(printed.startsWith('sign-root') ? other : dir, command);
      if (printed === 'show') shown = output;
      if (output.startsWith('published root')) expect(newestRoot(dir) > before).toBe(true);
      if (printed.startsWith('sign-root')) expect([output, newestRoot(other) > before]).toEqual(['published\n', true]);
    }
    expect(existsSync(join(dir, 'worker/roots', newestRoot(dir)))).toBe(true);
  }, 60_000);
});
