/** A certificate as it was issued. */
export interface IssuedCertificate {
  /** Lower-case hex. */
  readonly serial: string;
  /** Leaf first, then the issuing authority. */
  readonly chainPem: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface NodeIdentity {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly nodeId: string;
}

/** Issues node certificates. The only implementation that matters runs in the worker, which alone holds the key. */
export interface CertificateAuthority {
  /**
   * Checks the PKCS#10 request's own signature and returns its public key; subject and extensions are not read.
   * @throws DomainError `request.invalid` when it is malformed, wrongly signed, or has a key other than P-256 or Ed25519
   */
  readRequest(csrDer: Uint8Array): Promise<{ readonly publicKey: Uint8Array }>;
  /** Signs a 24 h client certificate whose only name is the node's SPIFFE id. */
  issue(identity: NodeIdentity, publicKey: Uint8Array, now: Date): Promise<IssuedCertificate>;
}
