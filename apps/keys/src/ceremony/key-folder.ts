import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { parseRoot, ROOT_ROLES, sealRoot, trustRoot, updateRoots, type RootFile, type RootInput, type RootRole, type Signer, type Step } from '@palisade/bundle';
import { openFileSigner, readOrCreateKeyFile, readRootChain } from '@palisade/keys';
import { writeDurably } from '../durable-file.ts';

/** Where each role's key file is. `targets` is the image authority. */
const KEY_FILE: Readonly<Record<RootRole, string>> = {
  root: 'root/root.key',
  targets: 'worker/image.key',
  director: 'worker/director.key',
  snapshot: 'worker/snapshot.key',
  timestamp: 'worker/timestamp.key',
};

/**
 * The folder that `init` made, with the root key in it. Every change is a new root version that the old root keys have
 * signed; files appear whole, and a command that was interrupted is finished by running it again.
 */
export class KeyFolder {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** The newest root of a chain that verifies from version 1 on. @throws Error */
  newestRoot(): RootFile {
    const [first, ...rest] = readRootChain(this.path('worker/roots'));
    if (first === undefined) throw new Error(`There is no root metadata in ${this.dir}. Run init first.`);
    const start = trustRoot(first);
    const step = start.ok ? updateRoots(start.state, rest) : start;
    if (!step.ok) throw new Error(`The root chain in ${this.dir} does not verify: ${step.message}`);
    return step.state.root;
  }

  keyFile(role: RootRole): string {
    return this.path(KEY_FILE[role]);
  }

  signer(role: RootRole): Signer {
    return openFileSigner(this.keyFile(role));
  }

  /** The key that will replace the role's key; kept beside it until the root that names it is written. */
  nextSigner(role: RootRole): Signer {
    readOrCreateKeyFile(`${this.keyFile(role)}.next`, 'ed25519');
    return openFileSigner(`${this.keyFile(role)}.next`);
  }

  /** Puts prepared keys in place that the newest root already names: what an interrupted run had left to do. */
  promote(): void {
    const root = this.newestRoot();
    for (const role of ROOT_ROLES) {
      const file = this.keyFile(role);
      if (!existsSync(`${file}.next`)) continue;
      if (!root.signed.roles[role].keys.has(openFileSigner(`${file}.next`).keyId)) continue;
      if (existsSync(file)) renameSync(file, `${file}.retired-${root.signed.version}`);
      renameSync(`${file}.next`, file);
    }
  }

  /**
   * Writes the next root version.
   * @param extra signers besides the present root key: the new root key, when that is what changes
   * @throws Error when more root keys must sign: nothing is published then, and the partial root is kept beside
   */
  async writeRoot(input: RootInput, extra: readonly Signer[] = []): Promise<RootFile> {
    const bytes = await sealRoot(input, [this.signer('root'), ...extra]);
    const step = this.#believe(bytes);
    if (!step.ok) {
      writeDurably(this.path(`root/${input.version}.root.json.partial`), bytes);
      throw new Error(`The new root is not believed yet: ${step.message}. It is kept as root/${input.version}.root.json.partial; the other holders of root keys add theirs with sign-root.`);
    }
    this.publishRoot(bytes);
    return step.state.root;
  }

  /** Whether the chain verifies with this root at its end. */
  wouldBelieve(bytes: Uint8Array): boolean {
    return this.#believe(bytes).ok;
  }

  #believe(bytes: Uint8Array): Step {
    const [first, ...rest] = readRootChain(this.path('worker/roots'));
    const start = trustRoot(first as Uint8Array);
    return start.ok ? updateRoots(start.state, [...rest, bytes]) : start;
  }

  publishRoot(bytes: Uint8Array): void {
    const { version } = parseRoot(bytes).signed;
    writeDurably(this.path(`root/${version}.root.json`), bytes);
    writeDurably(this.path(`worker/roots/${version}.root.json`), bytes);
    writeDurably(this.path('worker/root.json'), bytes);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }
}
