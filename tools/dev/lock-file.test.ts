import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkout } from './command.ts';

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>>; readonly integrity?: string; readonly link?: boolean; readonly resolved?: string }>>;
}

describe.each(['package-lock.json', 'tools/node/package-lock.json'])('%s', (file) => {
  const { packages } = JSON.parse(readFileSync(join(checkout, file), 'utf8')) as LockFile;

  it('has the packages of every platform, for npm ci refuses it otherwise', () => {
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !isFoundFrom(path, name)).map((name) => `${name} of ${path || 'the root'}`),
    );
    expect(missing).toEqual([]);
  });

  it('has the digest of every package that is fetched', () => {
    const fetched = Object.entries(packages).filter(([path, { link }]) => path.includes('node_modules/') && link !== true);
    expect(fetched.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path)).toEqual([]);
  });

  it('names no registry, so that everybody’s own is used', () => {
    expect(Object.entries(packages).filter(([, { link, resolved }]) => link !== true && resolved !== undefined)).toEqual([]);
  });

  /** As Node resolves: beside the package, then in each folder above. */
  function isFoundFrom(path: string, name: string): boolean {
    for (let place = path; ; place = place.replace(/\/?node_modules\/(?:@[^/]+\/)?[^/]+$/, '')) {
      if (packages[`${place === '' ? '' : `${place}/`}node_modules/${name}`] !== undefined) return true;
      if (!place.includes('node_modules/')) return packages[`node_modules/${name}`] !== undefined;
    }
  }
});
