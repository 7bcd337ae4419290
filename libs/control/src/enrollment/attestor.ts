/** What a machine sent to show what it is. */
export interface AttestationEvidence {
  /** `aws-iid`, `azure-imds`, `k8s-sat` */
  readonly type: string;
  readonly document: Uint8Array;
}

export interface AttestedIdentity {
  readonly method: string;
  /** Stable name of the machine; one node is enrolled for it at a time. */
  readonly subject: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** Checks evidence against whom this installation trusts to vouch for machines. */
export interface Attestor {
  /** @param nonce what the evidence had to be made for, where its kind takes a nonce: the enrollment uuid */
  verify(evidence: AttestationEvidence, nonce: string): Promise<{ readonly ok: true; readonly machine: AttestedIdentity } | { readonly ok: false; readonly message: string }>;
}
