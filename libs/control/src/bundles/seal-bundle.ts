import { sealBundle, type Arch, type KernelRequirements, type ManifestMap, type SealedBundle, type Signer } from '@palisade/bundle';
import type { Generation } from '@palisade/rollout';
import { isDomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { Rollout } from '../rollouts/rollout.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { BundleRepository } from './bundle.ts';

const MANIFEST_LIFETIME_MS = 30 * 24 * 3600 * 1000;

/** One program object with how it is loaded. */
export interface PublishedObject {
  readonly name: string;
  readonly type: string;
  readonly attach: string;
  readonly object: Uint8Array;
}

/** What the image authority has published, ready to be named in a manifest. */
export interface ProgramSet {
  /** Version of the image targets that lists them. */
  readonly imageVersion: number;
  readonly minAgent: string;
  readonly kernel: KernelRequirements;
  readonly maps: readonly ManifestMap[];
  readonly byArch: ReadonlyMap<Arch, readonly PublishedObject[]>;
}

/** The programs that new bundles are built from, and older ones by digest. */
export interface ProgramCatalogue {
  current(): Promise<ProgramSet>;
}

/** What a candidate is judged by before any node sees it. */
export interface CandidateInput {
  readonly policyRevision: number;
  /** Canonical bytes of the policy set. */
  readonly policy: Uint8Array;
  readonly programs: ProgramSet;
  /** Architectures that the cluster's nodes have. */
  readonly arches: readonly string[];
}

/** Refuses a candidate before any node sees it (trust-and-fleet §3, VALIDATING). */
export interface BundleValidator {
  /** @returns sentences that say why not; none: it may go out */
  validate(context: TenantContext, clusterId: string, candidate: CandidateInput): Promise<readonly string[]>;
}

/** Canonical bytes of a cluster's policy set as nodes read it. */
export interface PolicyContentSource {
  /** @throws DomainError `resource.not-found` when the cluster has no such revision */
  read(context: TenantContext, clusterId: string, revision: number): Promise<Uint8Array>;
}

export interface SealRepositories {
  readonly bundles: BundleRepository;
  readonly delivery: { identityRevision(clusterId: string): Promise<number>; arches(clusterId: string): Promise<readonly string[]> };
}

/** What is stored of a bundle so that the same bytes can be shipped again. */
export interface BundleContent {
  readonly minAgent: string;
  readonly imageVersion: number;
  readonly kernel: KernelRequirements;
  readonly maps: readonly ManifestMap[];
  readonly programs: Readonly<Record<string, readonly { readonly name: string; readonly type: string; readonly attach: string; readonly sha256: string }[]>>;
}

export type Candidate =
  | { readonly ok: true; readonly input: CandidateInput; readonly tenantId: string; readonly minimumIdentityRevision: number }
  | { readonly ok: false; readonly reason: string };

/** Compiles, validates and signs what a rollout delivers: programs + policy under a new generation. */
export class SealBundle {
  readonly #ports: SealBundlePorts;

  constructor(ports: SealBundlePorts) {
    this.#ports = ports;
  }

  /** Reads and validates; nothing is stored. A rollback takes the old bundle's bytes instead of current ones. */
  async prepare(context: TenantContext, rollout: Rollout): Promise<Candidate> {
    try {
      const old = rollout.bundleId === null ? undefined : await this.#ports.unitOfWork.run(context, ({ bundles }) => readOld(bundles, rollout.bundleId!));
      const programs = old?.programs ?? (await this.#ports.programs.current());
      const policy = old?.policy ?? (await this.#ports.policies.read(context, rollout.clusterId, rollout.policyRevision));
      const { arches, revision } = await this.#ports.unitOfWork.run(context, async ({ delivery }) => ({
        arches: await delivery.arches(rollout.clusterId),
        revision: await delivery.identityRevision(rollout.clusterId),
      }));
      const input: CandidateInput = { policyRevision: rollout.policyRevision, policy, programs, arches };
      const problems = [...missingArches(input), ...(await this.#ports.validator.validate(context, rollout.clusterId, input))];
      if (problems.length > 0) return { ok: false, reason: problems.slice(0, 20).join(' ') };
      return { ok: true, input, tenantId: context.tenantId, minimumIdentityRevision: revision };
    } catch (error) {
      if (isDomainError(error) && error.kind !== 'unavailable') return { ok: false, reason: error.message };
      throw error;
    }
  }

  /** Takes the next generation, signs one manifest an architecture, and stores bundle, blobs and manifests. */
  async store(bundles: BundleRepository, rollout: Rollout, candidate: Extract<Candidate, { ok: true }>): Promise<{ readonly bundleId: string; readonly generation: Generation }> {
    const { programs, policy, policyRevision } = candidate.input;
    const generation = await bundles.nextGeneration(rollout.clusterId);
    const expiresMs = this.#ports.now().getTime() + MANIFEST_LIFETIME_MS;
    const sealed = new Map<Arch, SealedBundle>();
    for (const [arch, objects] of programs.byArch) {
      sealed.set(
        arch,
        await sealBundle(
          {
            bundleId: rollout.id,
            tenantId: candidate.tenantId,
            clusterId: rollout.clusterId,
            generation: { epoch: BigInt(generation.epoch), n: BigInt(generation.n) },
            arch,
            kernel: programs.kernel,
            programs: objects,
            maps: programs.maps,
            policy: { revision: policyRevision, content: policy },
            minimumIdentityRevision: candidate.minimumIdentityRevision,
            imageVersion: programs.imageVersion,
            minAgent: programs.minAgent,
            expiresMs,
          },
          this.#ports.director,
        ),
      );
    }
    const bundle = await storeContent(bundles, rollout, candidate.input, sealed);
    for (const [arch, one] of sealed) {
      await bundles.storeGeneration(rollout.clusterId, {
        generation,
        arch,
        bundleId: bundle,
        contentDigest: one.contentDigest,
        manifestSha256: one.manifestSha256,
        manifest: one.envelope,
        minimumIdentityRevision: candidate.minimumIdentityRevision,
        revertOf: rollout.revertOf,
        expiresAt: new Date(expiresMs),
      });
    }
    return { bundleId: bundle, generation };
  }
}

export interface SealBundlePorts {
  readonly unitOfWork: UnitOfWork<SealRepositories>;
  readonly programs: ProgramCatalogue;
  readonly policies: PolicyContentSource;
  readonly validator: BundleValidator;
  readonly director: readonly Signer[];
  readonly now: () => Date;
}

function missingArches(input: CandidateInput): string[] {
  return input.arches
    .filter((arch) => !input.programs.byArch.has(arch as Arch))
    .map((arch) => `The cluster has ${arch} nodes and no program is published for ${arch}.`);
}

async function storeContent(bundles: BundleRepository, rollout: Rollout, input: CandidateInput, sealed: ReadonlyMap<Arch, SealedBundle>): Promise<string> {
  const programs: Record<string, { name: string; type: string; attach: string; sha256: string }[]> = {};
  let policySha256 = '';
  for (const [arch, one] of sealed) {
    programs[arch] = one.manifest.programs.map(({ name, type, attach, sha256 }) => ({ name, type, attach, sha256 }));
    policySha256 = one.manifest.policy.sha256;
    for (const [sha256, bytes] of one.blobs) await bundles.storeBlob(sha256, bytes);
  }
  const { minAgent, imageVersion, kernel, maps } = input.programs;
  const content: BundleContent = { minAgent, imageVersion, kernel, maps, programs };
  const stored = await bundles.upsert({
    clusterId: rollout.clusterId,
    contentDigests: Object.fromEntries([...sealed].map(([arch, one]) => [arch, one.contentDigest])),
    policyRevision: input.policyRevision,
    shadowPolicyRevision: null,
    policySha256,
    content,
  });
  return stored.id;
}

/** The bytes that an old bundle named, from storage: a rollback never rebuilds. */
async function readOld(bundles: BundleRepository, bundleId: string): Promise<{ readonly programs: ProgramSet; readonly policy: Uint8Array }> {
  const bundle = await bundles.find(bundleId);
  if (bundle === undefined) throw new Error(`bundle ${bundleId} is not stored`);
  const content = bundle.content as BundleContent;
  const byArch = new Map<Arch, PublishedObject[]>();
  for (const [arch, programs] of Object.entries(content.programs)) {
    const objects: PublishedObject[] = [];
    for (const { sha256, ...program } of programs) objects.push({ ...program, object: await readBlob(bundles, sha256) });
    byArch.set(arch as Arch, objects);
  }
  const { minAgent, imageVersion, kernel, maps } = content;
  return { programs: { minAgent, imageVersion, kernel, maps, byArch }, policy: await readBlob(bundles, bundle.policySha256) };
}

async function readBlob(bundles: BundleRepository, sha256: string): Promise<Uint8Array> {
  const bytes = await bundles.readBlob(sha256);
  if (bytes === undefined) throw new Error(`blob ${sha256} is not stored`);
  return bytes;
}
