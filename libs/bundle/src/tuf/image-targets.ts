import { formatTime, type JsonReader } from '../canonical/json-reader.ts';
import type { JsonValue } from '../canonical/canonical-json.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { Signer } from '../signing/signer.ts';
import { parseMetadata, readCommon, signMetadata, TUF_SPEC_VERSION, type CommonFields, type MetadataFile } from './metadata.ts';

export type Arch = 'amd64' | 'arm64';
export const ARCHES: readonly Arch[] = ['amd64', 'arm64'];

/** A program object that the image authority says exists. */
export interface PublishedProgram {
  /** `endpoint`, `cgroup`, …: the name that the manifest uses. */
  readonly name: string;
  readonly arch: Arch;
  /** Kernel feature level the object was compiled for, for example `base`, `tcx`. */
  readonly featureLevel: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Compiler that built it, part of the build's input. */
  readonly compiler: string;
}

export interface ImageTargets extends CommonFields {
  /** By SHA-256, hex. */
  readonly programs: ReadonlyMap<string, readonly PublishedProgram[]>;
}

export type TargetsFile = MetadataFile<ImageTargets>;

const NAME = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
const MAX_TARGETS = 20_000;

/** Path of an object in the image repository: content-addressed, so that old builds stay published beside new ones. */
export function targetPath(program: PublishedProgram): string {
  return `programs/${program.arch}/${program.featureLevel}/${program.name}-${program.sha256}.o`;
}

/** @throws BundleError */
export function parseTargets(bytes: Uint8Array): TargetsFile {
  return parseMetadata(bytes, 'targets', BUNDLE_LIMITS.targetsBytes, (signed) => {
    const programs = new Map<string, PublishedProgram[]>();
    for (const [path, target] of signed.member('targets').entries(MAX_TARGETS)) {
      const program = readTarget(target);
      if (targetPath(program) !== path) target.fail('the path does not say what the target is');
      const same = programs.get(program.sha256);
      if (same === undefined) programs.set(program.sha256, [program]);
      else same.push(program);
    }
    return { ...readCommon(signed), programs };
  });
}

function readTarget(target: JsonReader): PublishedProgram {
  const custom = target.member('custom');
  return {
    name: custom.member('name').string(NAME),
    arch: custom.member('arch').oneOf(ARCHES),
    featureLevel: custom.member('feature_level').string(NAME),
    compiler: custom.member('compiler').string(undefined, 256),
    sha256: target.member('hashes').member('sha256').sha256(),
    bytes: target.member('length').integer({ min: 1, max: BUNDLE_LIMITS.programBytes }),
  };
}

/** Writes and signs the image authority's list of programs. */
export async function sealTargets(
  input: { readonly version: number; readonly expiresMs: number; readonly programs: readonly PublishedProgram[] },
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const targets: Record<string, JsonValue> = {};
  for (const program of [...input.programs].sort((a, b) => (targetPath(a) < targetPath(b) ? -1 : 1))) {
    targets[targetPath(program)] = {
      length: program.bytes,
      hashes: { sha256: program.sha256 },
      custom: { name: program.name, arch: program.arch, feature_level: program.featureLevel, compiler: program.compiler },
    };
  }
  return signMetadata(
    { _type: 'targets', spec_version: TUF_SPEC_VERSION, version: input.version, expires: formatTime(input.expiresMs), targets },
    signers,
  );
}
