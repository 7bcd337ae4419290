/** What happened, in the words of the capability. Actor, tenant, time, request and place in the chain are added. */
export interface AuditEntry {
  /** `<resource>.<past participle>`, for example `cluster.created`; stable, documented in the audit design. */
  readonly action: string;
  readonly target: { readonly kind: string; readonly id: string; readonly name?: string };
  readonly outcome?: 'success' | 'denied' | 'failure';
  /** One sentence for people. Never secrets. */
  readonly summary: string;
  /** SHA-256 (hex) of the canonical state before and after the change, where there is one. */
  readonly beforeDigest?: string;
  readonly afterDigest?: string;
  /** Values for programs; never secrets. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * Appends to the tenant's hash chain inside the transaction of the change. It locks the head of the chain,
 * so it is the last thing a transaction does.
 */
export interface AuditLog {
  append(entry: AuditEntry): Promise<void>;
  /** Many entries in their order, in as many statements as one takes: for a rack that enrolls at once. */
  appendAll(entries: readonly AuditEntry[]): Promise<void>;
}
