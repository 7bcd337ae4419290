/** Caps on everything that is parsed before it is trusted, in bytes unless named otherwise. */
export const BUNDLE_LIMITS = {
  rootBytes: 512 * 1024,
  timestampBytes: 16 * 1024,
  snapshotBytes: 2 * 1024 * 1024,
  targetsBytes: 5 * 1024 * 1024,
  manifestBytes: 1024 * 1024,
  assignmentBytes: 64 * 1024,
  identityEnvelopeBytes: 64 * 1024 * 1024,
  endpointReportBytes: 4 * 1024 * 1024,
  observationBytes: 64 * 1024,
  programBytes: 16 * 1024 * 1024,
  policyBytes: 64 * 1024 * 1024,
  /** Root versions one update may step through (TUF 5.3, "a reasonable number"). */
  rootRotations: 256,
  programs: 256,
  maps: 256,
  signatures: 64,
  keys: 256,
  jsonDepth: 64,
} as const;
