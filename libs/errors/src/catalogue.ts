/** How an edge reports an error of this code: HTTP status, CLI exit code and gRPC status follow from it. */
export type ErrorKind =
  | 'invalid' // the input is wrong; the same input will fail again
  | 'unprocessable' // well-formed, but its content cannot be accepted
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'conflict' // the state does not allow it; read again, then decide
  | 'precondition' // a stated precondition (etag, revision) does not hold
  | 'too-large'
  | 'rate-limited'
  | 'unavailable' // try again later
  | 'internal';

interface CatalogueEntry {
  readonly kind: ErrorKind;
  /** Short, the same for every occurrence (RFC 9457 `title`). */
  readonly title: string;
}

/** Every code the system can answer with. Codes are stable: never renamed, never reused. Documented in docs/errors.md. */
export const CATALOGUE = {
  'request.invalid': { kind: 'invalid', title: 'The request is not valid' },
  'request.too-large': { kind: 'too-large', title: 'The request is too large' },
  'request.rate-limited': { kind: 'rate-limited', title: 'Too many requests' },
  'auth.unauthenticated': { kind: 'unauthenticated', title: 'Authentication is required' },
  'auth.forbidden': { kind: 'forbidden', title: 'The role does not allow this' },
  'resource.not-found': { kind: 'not-found', title: 'There is no such resource' },
  'resource.conflict': { kind: 'conflict', title: 'The resource is in a state that does not allow this' },
  'resource.stale': { kind: 'precondition', title: 'The resource has changed since it was read' },
  'idempotency.in-flight': { kind: 'conflict', title: 'A request with this Idempotency-Key is still running' },
  'idempotency.answer-lost': { kind: 'conflict', title: 'The request was carried out, but its answer was lost' },
  'idempotency.mismatch': { kind: 'unprocessable', title: 'The Idempotency-Key was used with another body' },
  'policy.invalid': { kind: 'unprocessable', title: 'A policy is not valid' },
  'cursor.invalid': { kind: 'invalid', title: 'The cursor is not valid' },
  'service.unavailable': { kind: 'unavailable', title: 'A service that is needed does not answer' },
  'kernel.load-failed': { kind: 'unavailable', title: 'The kernel refused a program' },
  'kernel.attach-failed': { kind: 'unavailable', title: 'A program could not be attached' },
  'kernel.map-full': { kind: 'unavailable', title: 'A kernel map is too small' },
  'kernel.unsupported': { kind: 'unavailable', title: 'This kernel lacks a needed feature' },
  'internal.unexpected': { kind: 'internal', title: 'Something unexpected happened' },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof CATALOGUE;
