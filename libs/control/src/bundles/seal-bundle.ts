import { sealBundle, type Arch, type KernelRequirements, type ManifestMap, type SealedBundle, type Signer } from '@palisade/bundle';
import { decodePolicySet } from '@palisade/policy';
import type { Generation } from '@palisade/rollout';
import { isDomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { Rollout } from '../rollouts/rollout.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { BundleRepository } from './bundle.ts';
import type { BundleValidator, CandidateInput, PolicyCandidate, ValidationReport } from './validation.ts';

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
  | { readonly ok: true; readonly input: CandidateInput; readonly tenantId: string; readonly minimumIdentityRevision: number; readonly report: ValidationReport }
  /** `report` is absent where it did not come to validating. */
  | { readonly ok: false; readonly reason: string; readonly report?: ValidationReport };

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
      const policy = old?.policy ?? { revision: rollout.policyRevision, content: await this.#ports.policies.read(context, rollout.clusterId, rollout.policyRevision) };
      const shadow = old === undefined ? await this.#shadow(context, rollout, policy) : old.shadow;
      const { arches, revision } = await this.#ports.unitOfWork.run(context, async ({ delivery }) => ({
        arches: await delivery.arches(rollout.clusterId),
        revision: await delivery.identityRevision(rollout.clusterId),
      }));
      const input: CandidateInput = { policy, ...(shadow && { shadow }), programs, arches };
      const validation = await this.#ports.validator.validate(context, rollout.clusterId, input);
      const problems = [...missingArches(input), ...validation.problems];
      if (problems.length > 0) return { ok: false, reason: problems.slice(0, 20).join(' '), report: validation.report };
      return { ok: true, input, tenantId: context.tenantId, minimumIdentityRevision: revision, report: validation.report };
    } catch (error) {
      if (isDomainError(error) && error.kind !== 'unavailable') return { ok: false, reason: error.message };
      throw error;
    }
  }

  /**
   * What is evaluated beside the live set: the revision that was asked for, or else, where policies of the live set are in mode
   * `shadow`, that set itself, in which shadow counts as enforced.
   */
  async #shadow(context: TenantContext, rollout: Rollout, live: PolicyCandidate): Promise<PolicyCandidate | undefined> {
    const revision = rollout.shadowPolicyRevision;
    if (revision !== null) return { revision, content: await this.#ports.policies.read(context, rollout.clusterId, revision) };
    const { policies } = decodePolicySet(JSON.parse(Buffer.from(live.content).toString('utf8')));
    return policies.some(({ mode }) => mode === 'shadow') ? live : undefined;
  }

  /** Takes the next generation, signs one manifest an architecture, and stores bundle, blobs and manifests. */
  async store(bundles: BundleRepository, rollout: Rollout, candidate: Extract<Candidate, { ok: true }>): Promise<{ readonly bundleId: string; readonly generation: Generation }> {
    const { programs, policy, shadow } = candidate.input;
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
            policy,
            ...(shadow && { shadowPolicy: shadow }),
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
  let shadowPolicySha256: string | null = null;
  for (const [arch, one] of sealed) {
    programs[arch] = one.manifest.programs.map(({ name, type, attach, sha256 }) => ({ name, type, attach, sha256 }));
    policySha256 = one.manifest.policy.sha256;
    shadowPolicySha256 = one.manifest.shadowPolicy?.sha256 ?? null;
    for (const [sha256, bytes] of one.blobs) await bundles.storeBlob(sha256, bytes);
  }
  const { minAgent, imageVersion, kernel, maps } = input.programs;
  const content: BundleContent = { minAgent, imageVersion, kernel, maps, programs };
  const stored = await bundles.upsert({
    clusterId: rollout.clusterId,
    contentDigests: Object.fromEntries([...sealed].map(([arch, one]) => [arch, one.contentDigest])),
    policyRevision: input.policy.revision,
    shadowPolicyRevision: input.shadow?.revision ?? null,
    policySha256,
    shadowPolicySha256,
    content,
  });
  return stored.id;
}

/** The bytes that an old bundle named, from storage: a rollback never rebuilds. */
async function readOld(bundles: BundleRepository, bundleId: string): Promise<{ readonly programs: ProgramSet; readonly policy: PolicyCandidate; readonly shadow: PolicyCandidate | undefined }> {
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
  const shadow = bundle.shadowPolicySha256 === null || bundle.shadowPolicyRevision === null ? undefined : { revision: bundle.shadowPolicyRevision, content: await readBlob(bundles, bundle.shadowPolicySha256) };
  return { programs: { minAgent, imageVersion, kernel, maps, byArch }, policy: { revision: bundle.policyRevision, content: await readBlob(bundles, bundle.policySha256) }, shadow };
}

async function readBlob(bundles: BundleRepository, sha256: string): Promise<Uint8Array> {
  const bytes = await bundles.readBlob(sha256);
  if (bytes === undefined) throw new Error(`blob ${sha256} is not stored`);
  return bytes;
}
