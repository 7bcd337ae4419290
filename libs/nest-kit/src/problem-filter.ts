import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { DomainError, type ErrorCode } from '@palisade/errors';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from './logging.ts';
import { problemOf } from './problem.ts';

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'request.invalid',
  401: 'auth.unauthenticated',
  403: 'auth.forbidden',
  404: 'resource.not-found',
  408: 'request.invalid',
  413: 'request.too-large',
  414: 'request.too-large',
  415: 'request.invalid',
  429: 'request.rate-limited',
  503: 'service.unavailable',
};

/**
 * Every error leaves as a problem document. What is not a DomainError and not a fault of the request is logged and
 * answered without its message: that may hold anything.
 */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  catch(exception: unknown, host: ArgumentsHost): void {
    const request = host.switchToHttp().getRequest<FastifyRequest>();
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const error = toDomainError(exception);
    const problem = problemOf(error, `urn:request:${request.id}`);
    if (problem.status >= 500) this.#logger.error({ err: exception, reqId: request.id, code: error.code }, 'request failed');
    // A stream that broke after its head was sent can only be cut.
    if (reply.sent || reply.raw.headersSent) {
      reply.raw.destroy();
      return;
    }
    if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="palisade"');
    const wait = error.params['retryAfterSeconds'] ?? (problem.status === 503 ? 1 : undefined);
    if (wait !== undefined) void reply.header('retry-after', String(wait));
    void reply.status(problem.status).type('application/problem+json').send(problem);
  }
}

function toDomainError(exception: unknown): DomainError {
  if (exception instanceof DomainError) return exception;
  const status = statusOfException(exception);
  const code = status === undefined ? undefined : (CODE_OF_STATUS[status] ?? (status < 500 ? 'request.invalid' : undefined));
  if (code === undefined) {
    return new DomainError('internal.unexpected', 'Something unexpected happened. The request id leads to the log; try again, and report it when it happens again.', { cause: exception });
  }
  return new DomainError(code, (exception as Error).message);
}

/** Status of an error of Nest or of Fastify (body too large, broken JSON, unknown content type). */
function statusOfException(exception: unknown): number | undefined {
  if (exception instanceof HttpException) return exception.getStatus();
  if (exception instanceof Error && 'statusCode' in exception && typeof exception.statusCode === 'number') return exception.statusCode;
  return undefined;
}
