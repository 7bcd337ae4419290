/** Native failures → the errors of the kernel port. */

import { DomainError, type ErrorCode } from '@palisade/errors';
import type { NativeFailure } from './addon.ts';

const LOG_TAIL = 2000;

function codeOf(failure: NativeFailure, fallback: ErrorCode): ErrorCode {
  if (failure.code === 'E2BIG' || (failure.code === 'ENOSPC' && fallback !== 'kernel.load-failed')) return 'kernel.map-full';
  if (failure.code === 'EPERM') return 'kernel.unsupported';
  return fallback;
}

/** Runs native calls; what they throw becomes a DomainError that says what to do and keeps the verifier's last words. */
export function kernelCall<T>(fallback: ErrorCode, doing: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    if (cause instanceof DomainError) throw cause;
    const failure = cause as NativeFailure;
    const log = `${failure.log ?? ''}${failure.verifierLog ?? ''}`.trim();
    const hint = failure.code === 'EPERM' ? ' This needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.' : '';
    throw new DomainError(codeOf(failure, fallback), `${doing}: ${failure.message}.${hint}${log === '' ? '' : `\n…${log.slice(-LOG_TAIL)}`}`, {
      cause,
      params: { ...(failure.code !== undefined && { errno: failure.code }), ...(failure.syscall !== undefined && { syscall: failure.syscall }) },
    });
  }
}
