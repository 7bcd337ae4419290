import { DomainError } from '@palisade/errors';
import { problemOf, type Logger } from '@palisade/nest-kit';
import { PROBLEM_CONTENT_TYPE } from '@palisade/protocol';

export interface ProblemAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Any error as a problem document, with Retry-After where coming back helps. What is not a DomainError is logged, not told. */
export function problemAnswer(error: unknown, requestId: string, logger: Logger): ProblemAnswer {
  const known = error instanceof DomainError ? error : undefined;
  if (known === undefined) logger.error({ err: error }, 'a request of an agent failed');
  const problem = problemOf(known ?? new DomainError('internal.unexpected', 'Something unexpected happened. Try again.'), `urn:request:${requestId}`);
  const wait = known?.params['retryAfterSeconds'] ?? (problem.status === 503 ? 1 : undefined);
  return {
    status: problem.status,
    headers: { 'content-type': PROBLEM_CONTENT_TYPE, ...(wait === undefined ? {} : { 'retry-after': String(wait) }) },
    body: JSON.stringify(problem),
  };
}
