import { CATALOGUE, type DomainError, type ErrorCode, type ErrorKind, type Fault } from '@palisade/errors';

const STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  precondition: 412,
  'too-large': 413,
  unprocessable: 422,
  'rate-limited': 429,
  internal: 500,
  unavailable: 503,
};

/** A problem document (RFC 9457). `code` is stable and in the catalogue; `errors` names every fault where there are several. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly instance: string;
  readonly pointer?: string;
  readonly params?: Readonly<Record<string, string | number | boolean>>;
  readonly errors?: readonly Fault[];
}

export function statusOf(code: ErrorCode): number {
  return STATUS[CATALOGUE[code].kind];
}

/** @param instance identifies the occurrence: `urn:request:<request id>` */
export function problemOf(error: DomainError, instance: string): Problem {
  return {
    type: `urn:palisade:error:${error.code}`,
    title: CATALOGUE[error.code].title,
    status: statusOf(error.code),
    code: error.code,
    detail: error.message,
    instance,
    ...(error.pointer === undefined ? {} : { pointer: error.pointer }),
    ...(Object.keys(error.params).length === 0 ? {} : { params: error.params }),
    ...(error.faults.length === 0 ? {} : { errors: error.faults }),
  };
}
