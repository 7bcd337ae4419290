export { BundleError, type BundleErrorCode, type Rejection } from './bundle-error.ts';
export { BUNDLE_LIMITS } from './limits.ts';
export { compareGenerations, formatGeneration, parseGeneration, type Generation } from './generation.ts';
export { canonicalJson, canonicalJsonText, type JsonValue } from './canonical/canonical-json.ts';
export { sha256Hex } from './canonical/sha256.ts';
export { tufKeyId, tufKeyOf, verificationKey, type TufKey, type VerificationKey } from './signing/public-key.ts';
export { localSigner, type Signer } from './signing/signer.ts';
export type { Authority } from './signing/threshold.ts';
export { parseEnvelope, signEnvelope, openEnvelope, type Envelope } from './signing/dsse.ts';
export { signMore } from './tuf/metadata.ts';
export { parseRoot, sealRoot, ROOT_ROLES, type PinnedAuthorities, type RootFile, type RootInput, type RootMetadata, type RootRole } from './tuf/root.ts';
export { ARCHES, parseTargets, sealTargets, targetPath, type Arch, type PublishedProgram, type TargetsFile } from './tuf/image-targets.ts';
export { parseSnapshot, parseTimestamp, sealSnapshot, sealTimestamp, type SealedFile } from './tuf/snapshot.ts';
export {
  checkRootFresh,
  restoreTrust,
  storedTrust,
  trustRoot,
  updateRoot,
  updateRoots,
  updateSnapshot,
  updateTargets,
  updateTimestamp,
  type Step,
  type StoredTrust,
  type TrustedState,
} from './tuf/trusted-state.ts';
export { trustByPin, trustPin } from './trust/trust-pin.ts';
export {
  MANIFEST_PAYLOAD_TYPE,
  parseManifest,
  type BlobReference,
  type KernelRequirements,
  type Manifest,
  type ManifestMap,
  type ManifestPolicy,
  type ManifestProgram,
} from './manifest/manifest.ts';
export { contentDigest } from './manifest/content-digest.ts';
export { sealBundle, type BundleInput, type PolicyInput, type ProgramInput, type SealedBundle } from './manifest/seal-bundle.ts';
export { readKeptBundle, verifyBlob, verifyBundle, type BundleFiles, type BundleVerdict, type NodeContext } from './manifest/verify-bundle.ts';
export { sealAssignment, type AssignmentInput, type AssignmentProof, type NodeAssignment } from './assignment/assignment.ts';
export { acceptEpochRecovery, FIRST_EPOCH, readEpochRecovery, sealEpochRecovery, trustedEpoch, type EpochRecovery } from './assignment/epoch-recovery.ts';
export { sealIdentities, verifyIdentities, type IdentityMessage, type IdentityPosition } from './identities/identity-envelope.ts';
export {
  ENDPOINTS_PAYLOAD_TYPE,
  sealEndpointReport,
  verifyEndpointReport,
  type EndpointReport,
  type ReportedEndpoint,
  type ReportedService,
} from './identities/endpoint-report.ts';
export {
  compareStatements,
  OBSERVATION_PAYLOAD_TYPE,
  sealNodeObservation,
  verifyNodeObservation,
  type NodeObservation,
  type ObservedBundleState,
  type StatementPosition,
} from './observations/node-observation.ts';
