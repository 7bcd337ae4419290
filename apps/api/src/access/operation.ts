import { applyDecorators, HttpCode, SerializeOptions, SetMetadata } from '@nestjs/common';
import { ApiBearerAuth, ApiHeader, ApiOperation, ApiResponse } from '@nestjs/swagger';
import type { Permission } from '@palisade/tenancy';
import type { z } from 'zod';
import { problemSchema } from '../openapi/problem.schema.ts';

export const OPERATION = Symbol('palisade:operation');

export interface OperationOptions {
  /** What the caller's role must allow; the table is in the tenancy room. */
  readonly permission: Permission;
  /** One sentence, imperative, for the OpenAPI document. */
  readonly summary: string;
  /** Camel case, unique, the name of the client's method. */
  readonly id: string;
  /** 200 when absent. */
  readonly status?: number;
  /** What is sent: fields that it does not name are stripped. Absent: nothing is sent, or a stream. */
  readonly response?: z.ZodType;
  /** Instead of `response`, where a parameter can leave out what that requires; the document keeps to `response`. */
  readonly sends?: z.ZodType;
  /** Takes `Idempotency-Key`: every POST that creates. */
  readonly creates?: boolean;
  /** Takes `If-Match`. */
  readonly conditional?: boolean;
  /** Content type where it is not JSON. */
  readonly streams?: string;
  /** Statuses of errors besides 400, 401, 403, 404 and 429. */
  readonly errors?: readonly number[];
}

const USUAL_ERRORS = [400, 401, 403, 404, 429];

/** Declares a route of the API: who may call it, what it answers, how it is documented. Every route has one; a test sees to it. */
export function Operation(options: OperationOptions): MethodDecorator {
  const status = options.status ?? 200;
  const errors = [...USUAL_ERRORS, ...(options.errors ?? []), ...(options.creates ? [409, 422] : []), ...(options.conditional ? [412] : [])];
  const success = options.streams === undefined ? {} : { content: { [options.streams]: { schema: { type: 'string' as const } } } };
  return applyDecorators(
    SetMetadata(OPERATION, options),
    HttpCode(status),
    ApiBearerAuth(),
    ApiOperation({ summary: options.summary, operationId: options.id }),
    ApiResponse({ status, description: 'Done', ...success, ...(options.response === undefined ? {} : { standardSchema: options.response }) }),
    ...[...new Set(errors)].toSorted((a, b) => a - b).map((error) => ApiResponse({ status: error, description: 'Problem (RFC 9457)', standardSchema: problemSchema })),
    ...(options.response === undefined ? [] : [SerializeOptions({ schema: options.sends ?? options.response })]),
    ...(options.creates ? [ApiHeader({ name: 'Idempotency-Key', required: false, description: 'Repeats of a request with this key answer the first answer' })] : []),
    ...(options.conditional ? [ApiHeader({ name: 'If-Match', required: false, description: 'Entity tag the change is based on' })] : []),
  );
}
