import { readKeptBundle, verifyBlob, type BlobReference, type Manifest } from '@palisade/bundle';
import { decodePolicySet, type PolicySet } from '@palisade/policy';
import type { ProgramObject } from '../enforcer/enforcer.ts';
import type { AgentState, KeptBundle } from '../state/agent-state.ts';

/** A bundle in memory: verified, complete, ready to resolve and apply. */
export interface LoadedBundle {
  readonly kept: KeptBundle;
  readonly manifest: Manifest;
  readonly programs: readonly ProgramObject[];
  readonly policy: PolicySet;
  readonly shadowPolicy?: PolicySet;
}

/**
 * Reads a bundle that was accepted and kept.
 * @throws Error when a file is missing or is not the one that was accepted
 */
export function loadBundle(state: AgentState, kept: KeptBundle): LoadedBundle {
  const envelope = state.manifest(kept.manifestSha256);
  if (envelope === undefined) throw new Error(`The manifest of generation ${kept.generation} is not on disk.`);
  const read = readKeptBundle(envelope, kept.manifestSha256);
  if (!read.ok) throw new Error(`The manifest of generation ${kept.generation}: ${read.message}`);
  const { manifest } = read;
  return {
    kept,
    manifest,
    programs: manifest.programs.map((program) => ({ name: program.name, sha256: program.sha256, bytes: keptBlob(state, program) })),
    policy: parsePolicy(keptBlob(state, manifest.policy)),
    ...(manifest.shadowPolicy && { shadowPolicy: parsePolicy(keptBlob(state, manifest.shadowPolicy)) }),
  };
}

/** Every blob a manifest names, once. */
export function blobsOf(manifest: Manifest): readonly BlobReference[] {
  const all: readonly BlobReference[] = [...manifest.programs, manifest.policy, ...(manifest.shadowPolicy ? [manifest.shadowPolicy] : [])];
  return [...new Map(all.map((blob) => [blob.sha256, blob])).values()];
}

function keptBlob(state: AgentState, reference: BlobReference): Buffer {
  const bytes = state.blob(reference.sha256);
  if (bytes === undefined) throw new Error(`The blob ${reference.sha256} is not on disk.`);
  const verdict = verifyBlob(reference, bytes);
  if (!verdict.ok) throw new Error(verdict.message);
  return bytes;
}

function parsePolicy(bytes: Buffer): PolicySet {
  return decodePolicySet(JSON.parse(bytes.toString('utf8')));
}
