import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex, type Arch, type PublishedProgram } from '@palisade/bundle';
import type { ProgramCatalogue, ProgramSet, PublishedObject } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { ImageRepository } from './image-repository.ts';

const ARCH_OF_NODE: Readonly<Record<string, Arch>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * The program objects of one build folder (`bpf/build`): `<arch>/<name>.o`, or `<name>.o` for the machine's own
 * architecture, with the compiler that built them in `compiler.txt`.
 */
export class FileProgramCatalogue implements ProgramCatalogue {
  readonly #dir: string;
  readonly #images: ImageRepository;

  constructor(dir: string, images: ImageRepository) {
    this.#dir = dir;
    this.#images = images;
  }

  async current(): Promise<ProgramSet> {
    const byArch = new Map<Arch, PublishedObject[]>();
    for (const [arch, dir] of this.#folders()) {
      const objects = readObjects(dir);
      if (objects.length > 0) byArch.set(arch, objects);
    }
    if (byArch.size === 0) throw new DomainError('service.unavailable', `There are no program objects in ${this.#dir}; build the datapath first.`);
    const compiler = this.#compiler();
    const published = [...byArch].flatMap(([arch, objects]) => objects.map((object) => publication(arch, object, compiler)));
    return {
      imageVersion: await this.#images.publish(published),
      minAgent: '0.1.0',
      kernel: { min: '5.10', features: [], btf: true },
      maps: [],
      byArch,
    };
  }

  #folders(): [Arch, string][] {
    const own = ARCH_OF_NODE[process.arch];
    const named = (['amd64', 'arm64'] as const).map((arch): [Arch, string] => [arch, join(this.#dir, arch)]).filter(([, dir]) => existsSync(dir));
    return own === undefined || named.some(([arch]) => arch === own) ? named : [[own, this.#dir], ...named];
  }

  #compiler(): string {
    const file = join(this.#dir, 'compiler.txt');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().slice(0, 256) : 'unknown';
  }
}

function readObjects(dir: string): PublishedObject[] {
  return readdirSync(dir)
    .filter((name) => /^[a-z0-9][a-z0-9_-]*\.o$/.test(name))
    .sort()
    .map((file) => ({ name: file.slice(0, -2), type: 'sched_cls', attach: 'tcx', object: readFileSync(join(dir, file)) }));
}

function publication(arch: Arch, object: PublishedObject, compiler: string): PublishedProgram {
  return { name: object.name, arch, featureLevel: 'base', sha256: sha256Hex(object.object), bytes: object.object.byteLength, compiler };
}
