import { CATALOGUE, type ErrorCode } from './catalogue.ts';

/** One of several faults of an input, each with its place. */
export interface Fault {
  /** Stable code of the kind of fault, for example `field.unknown`. */
  readonly code: string;
  readonly detail: string;
  /** RFC 6901 pointer. */
  readonly pointer?: string;
  /** Number of the document in a multi-document text, from 0. */
  readonly document?: number;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}

export interface DomainErrorDetails {
  /** RFC 6901 pointer to the offending field of the input. */
  readonly pointer?: string;
  /** Values for programs; never secrets. */
  readonly params?: Readonly<Record<string, string | number | boolean>>;
  /** All faults, where the input can have several. */
  readonly faults?: readonly Fault[];
  readonly cause?: unknown;
}

/**
 * The one error of the domain: a stable code and a sentence that says what happened and what to do.
 * Transport codes belong to the edge: see `CATALOGUE[code].kind`.
 */
export class DomainError extends Error {
  readonly code: ErrorCode;
  readonly pointer: string | undefined;
  readonly params: Readonly<Record<string, string | number | boolean>>;

  readonly faults: readonly Fault[];

  constructor(code: ErrorCode, message: string, details: DomainErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DomainError';
    this.code = code;
    this.pointer = details.pointer;
    this.params = details.params ?? {};
    this.faults = details.faults ?? [];
  }

  get kind(): (typeof CATALOGUE)[ErrorCode]['kind'] {
    return CATALOGUE[this.code].kind;
  }
}

/** True for any DomainError, and for one of the given codes when codes are given. */
export function isDomainError(value: unknown, ...codes: readonly ErrorCode[]): value is DomainError {
  return value instanceof DomainError && (codes.length === 0 || codes.includes(value.code));
}
