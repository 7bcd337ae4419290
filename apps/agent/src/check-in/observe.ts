import { parseGeneration, type Generation } from '@palisade/bundle';
import { NodeBundleState, type MessageInitShape, type ObservedSchema } from '@palisade/protocol';
import type { RunningState } from '../enforcer/enforcer.ts';
import type { BundleReport } from '../executor/bundle-executor.ts';

/** `verified`: accepted, not loaded yet. */
export type ReportedState = BundleReport['state'] | 'verified';

const STATE: Readonly<Record<ReportedState, NodeBundleState>> = {
  none: NodeBundleState.NONE,
  verified: NodeBundleState.VERIFIED,
  loaded: NodeBundleState.LOADED,
  healthy: NodeBundleState.HEALTHY,
  failed: NodeBundleState.FAILED,
  reverted: NodeBundleState.REVERTED,
};

/** More unprotected endpoints are only counted. */
const MAX_GAPS = 64;

export interface Observation {
  /** Read back from the kernel. */
  readonly running: RunningState;
  readonly report: { readonly state: ReportedState; readonly subject?: string; readonly reason?: string };
  readonly lastKnownGood: string | undefined;
  readonly deniedPackets: bigint;
  readonly disabledUntilMs: number;
  readonly localActs: readonly { readonly kind: string; readonly atMs: number; readonly detail: string }[];
}

/** The observation as the wire carries it. */
export function encodeObservation(observation: Observation): MessageInitShape<typeof ObservedSchema> {
  const { running, report } = observation;
  const isProtected = running.endpoints.filter((endpoint) => endpoint.protected).length;
  return {
    ...generationField('generation', running.generation),
    contentDigest: running.contentDigest ?? '',
    state: STATE[report.state],
    ...generationField('lastKnownGood', observation.lastKnownGood),
    policyRevision: BigInt(running.policyRevision),
    identityRevision: BigInt(running.identityRevision),
    reason: report.reason ?? '',
    ...(report.subject !== running.generation && generationField('subjectGeneration', report.subject)),
    endpointsProtected: isProtected,
    endpointsUnprotected: running.endpoints.length - isProtected,
    gaps: running.endpoints.flatMap(({ key, protected: covered, reason }) => (covered ? [] : [{ key, reason: reason ?? '' }])).slice(0, MAX_GAPS),
    longestUnprotectedUs: BigInt(Math.ceil(Math.max(0, ...running.endpoints.map(({ unprotectedMs = 0 }) => unprotectedMs * 1000)))),
    deniedPackets: observation.deniedPackets,
    disabledUntilMs: BigInt(observation.disabledUntilMs),
    localActs: observation.localActs.map((act) => ({ kind: act.kind, atMs: BigInt(act.atMs), detail: act.detail })),
  };
}

function generationField<K extends string>(name: K, text: string | undefined): { readonly [P in K]?: Generation } {
  return (text === undefined ? {} : { [name]: parseGeneration(text) }) as { readonly [P in K]?: Generation };
}
