import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { TenantContext } from '@palisade/tenancy';
import type { FastifyRequest } from 'fastify';

const contexts = new WeakMap<FastifyRequest, TenantContext>();

/** Set by the access guard, and again with its idempotency key where a request has one. */
export function setTenantContext(request: FastifyRequest, context: TenantContext): void {
  contexts.set(request, context);
}

/** Throws when the request did not pass the access guard: a fault of the program. */
export function tenantContextOf(request: FastifyRequest): TenantContext {
  const context = contexts.get(request);
  if (context === undefined) throw new Error(`${request.method} ${request.routeOptions.url} was reached without passing the access guard.`);
  return context;
}

/** The tenant and actor of the request: `@InTenant() context: TenantContext`. */
export const InTenant = createParamDecorator((_: unknown, execution: ExecutionContext) => tenantContextOf(execution.switchToHttp().getRequest<FastifyRequest>()));
