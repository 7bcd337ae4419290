/**
 * Why something signed was refused. The set is closed: agents report these codes, tests assert them, and
 * docs/security.md names them. A new reason is a new code, never a re-use.
 */
export type BundleErrorCode =
  // form
  | 'too-large'
  | 'malformed'
  | 'not-canonical'
  | 'wrong-type'
  | 'unsupported-version'
  // signatures
  | 'unknown-key-type'
  | 'key-id-mismatch'
  | 'duplicate-key'
  | 'duplicate-signature'
  | 'below-threshold'
  // TUF workflow
  | 'expired'
  | 'root-version-gap'
  | 'too-many-rotations'
  | 'rollback'
  | 'version-mismatch'
  | 'length-mismatch'
  | 'hash-mismatch'
  | 'metadata-missing'
  // what a node checks of a bundle
  | 'wrong-cluster'
  | 'wrong-arch'
  | 'agent-too-old'
  | 'kernel-unsupported'
  | 'generation-not-newer'
  | 'program-not-published'
  | 'mix-and-match'
  | 'content-digest-mismatch'
  | 'not-assigned'
  // identity stream
  | 'identity-gap'
  | 'identity-rollback'
  // enrollment
  | 'trust-pin-mismatch';

/** Thrown inside this room by every parser and check; `verify*` functions turn it into a rejection. */
export class BundleError extends Error {
  readonly code: BundleErrorCode;
  /** RFC 6901 pointer into the refused document, where one place is at fault. */
  readonly pointer: string | undefined;

  constructor(code: BundleErrorCode, message: string, pointer?: string) {
    super(pointer === undefined ? message : `${message} (at ${pointer === '' ? 'the document root' : pointer})`);
    this.name = 'BundleError';
    this.code = code;
    this.pointer = pointer;
  }
}

export interface Rejection {
  readonly ok: false;
  readonly code: BundleErrorCode;
  /** One sentence for an operator. */
  readonly message: string;
}

/** Runs a check and turns the closed set of errors into a rejection; anything else is a defect and is rethrown. */
export function rejectionOf<T extends { readonly ok: true }>(check: () => T): T | Rejection {
  try {
    return check();
  } catch (error) {
    if (error instanceof BundleError) return { ok: false, code: error.code, message: error.message };
    throw error;
  }
}
