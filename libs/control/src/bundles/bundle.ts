import type { Generation } from '@palisade/rollout';
import type { Page, PageRequest } from '../page.ts';

/** Content that can be offered to nodes: programs and a policy revision. */
export interface BundleRecord {
  readonly id: string;
  readonly clusterId: string;
  /** Architecture → digest that its nodes report when they run it, lower-case hex. */
  readonly contentDigests: Readonly<Record<string, string>>;
  readonly policyRevision: number;
  readonly shadowPolicyRevision: number | null;
  readonly policySha256: string;
  readonly shadowPolicySha256: string | null;
  /** What the manifest says of the content. */
  readonly content: unknown;
  readonly createdAt: Date;
}

/** A bundle under one generation, as signed. */
export interface SealedGeneration {
  readonly generation: Generation;
  readonly arch: string;
  readonly bundleId: string;
  readonly contentDigest: string;
  readonly manifestSha256: string;
  readonly manifest: Uint8Array;
  readonly minimumIdentityRevision: number;
  /** The rollout that is undone. */
  readonly revertOf: string | null;
  readonly expiresAt: Date;
}

export interface BundleRepository {
  /** The same content of the same revision is stored once. */
  upsert(bundle: Omit<BundleRecord, 'id' | 'createdAt'>): Promise<BundleRecord>;
  find(id: string): Promise<BundleRecord | undefined>;
  list(clusterId: string, page: PageRequest): Promise<Page<BundleRecord & { readonly generations: readonly string[] }>>;
  storeBlob(sha256: string, bytes: Uint8Array): Promise<void>;
  readBlob(sha256: string): Promise<Uint8Array | undefined>;
  /** Raises the cluster's generation by one and locks it until the transaction ends. */
  nextGeneration(clusterId: string): Promise<Generation>;
  storeGeneration(clusterId: string, sealed: SealedGeneration): Promise<void>;
}
