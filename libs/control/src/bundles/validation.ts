import type { TenantContext } from '@palisade/tenancy';
import type { ProgramSet } from './seal-bundle.ts';

/** Canonical bytes of a policy set with the revision they are of. */
export interface PolicyCandidate {
  readonly revision: number;
  readonly content: Uint8Array;
}

/** What a candidate is judged by before any node sees it. */
export interface CandidateInput {
  readonly policy: PolicyCandidate;
  /** Evaluated beside the live one; decides nothing. */
  readonly shadow?: PolicyCandidate;
  readonly programs: ProgramSet;
  /** Architectures that the cluster's nodes have. */
  readonly arches: readonly string[];
}

/** One program object, as it was checked. */
export interface CheckedObject {
  readonly name: string;
  readonly arch: string;
  /** `kernel`: loaded and verified by a kernel. `static`: form of the object only. */
  readonly method: 'kernel' | 'static';
  readonly programs: number;
  /** What the verifier walked; null where no kernel was asked. */
  readonly verifiedInstructions: number | null;
}

/** Recorded flows between two ends that the candidate judges otherwise than they were judged. */
export interface ReplayedEdge {
  readonly source: string;
  readonly destination: string;
  readonly direction: 'ingress' | 'egress';
  readonly protocol: string;
  /** ICMP: the type; null where there is none. */
  readonly port: number | null;
  readonly before: 'allow' | 'deny' | 'audit';
  readonly after: 'allow' | 'deny' | 'audit';
  /** How many flows it stands for. */
  readonly flows: number;
  /** Policies behind the new verdict. */
  readonly policies: readonly string[];
  /** Ids of up to five of the flows. */
  readonly examples: readonly string[];
}

export type ReplayReport =
  | {
      readonly outcome: 'replayed';
      readonly sinceHours: number;
      /** False: there were more flows than are replayed; the newest were. */
      readonly complete: boolean;
      readonly flows: number;
      readonly unchanged: number;
      /** Of ends that the cluster no longer has. */
      readonly unresolved: number;
      readonly newlyDenied: readonly ReplayedEdge[];
      readonly newlyAllowed: readonly ReplayedEdge[];
      /** Edges beyond those that are listed. */
      readonly further: number;
    }
  | { readonly outcome: 'unavailable'; readonly why: string };

export interface NodeCapacity {
  readonly node: string;
  readonly endpoints: number;
  /** Entries of its largest policy map. */
  readonly policyEntries: number;
  readonly addresses: number;
}

/** What VALIDATING did and found (trust-and-fleet §3); kept with the rollout. */
export interface ValidationReport {
  readonly programs: { readonly note: string; readonly objects: readonly CheckedObject[] };
  /** Tuples on which the resolved tables and the evaluator were compared; any difference refuses the candidate. */
  readonly evaluator: { readonly nodes: number; readonly tuples: number; readonly differences: readonly string[] };
  readonly capacity: {
    readonly clusterNodes: number;
    readonly checkedNodes: number;
    readonly limits: { readonly endpoints: number; readonly policyEntries: number; readonly addresses: number };
    /** The fullest of the checked ones. */
    readonly fullest: readonly NodeCapacity[];
  };
  readonly replay: ReplayReport;
}

export interface Validation {
  /** Sentences that say why not; none: it may go out. */
  readonly problems: readonly string[];
  readonly report: ValidationReport;
}

/** Refuses a candidate before any node sees it (trust-and-fleet §3, VALIDATING). */
export interface BundleValidator {
  validate(context: TenantContext, clusterId: string, candidate: CandidateInput): Promise<Validation>;
}
