import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AuthenticateToken } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { rolesAllow, type TenantContext } from '@palisade/tenancy';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RateLimits } from '../limits/rate-limits.ts';
import { DenialRecorder } from './denial-recorder.ts';
import { OPERATION, type OperationOptions } from './operation.ts';
import { setTenantContext } from './request-context.ts';

/** The one guard: authenticates, limits the rate per tenant, and looks the declared permission up. */
@Injectable()
export class AccessGuard implements CanActivate {
  readonly #reflector: Reflector;
  readonly #authenticate: AuthenticateToken;
  readonly #limits: RateLimits;
  readonly #denials: DenialRecorder;

  constructor(reflector: Reflector, authenticate: AuthenticateToken, limits: RateLimits, denials: DenialRecorder) {
    this.#reflector = reflector;
    this.#authenticate = authenticate;
    this.#limits = limits;
    this.#denials = denials;
  }

  async canActivate(execution: ExecutionContext): Promise<boolean> {
    const request = execution.switchToHttp().getRequest<FastifyRequest>();
    const reply = execution.switchToHttp().getResponse<FastifyReply>();
    const operation = this.#reflector.get<OperationOptions | undefined>(OPERATION, execution.getHandler());
    if (operation === undefined) throw new Error(`${request.method} ${request.routeOptions.url} declares no permission: decorate it with @Operation.`);

    const context = await this.#identify(request);
    void reply.headers(this.#limits.admit(context.tenantId));
    setTenantContext(request, context);
    if (rolesAllow(context.actor.roles, operation.permission)) return true;
    this.#denials.record(context, { action: 'access.denied', target: { kind: 'permission', id: operation.permission }, summary: `${context.actor.name} was denied ${operation.permission}` });
    throw new DomainError('auth.forbidden', `The roles of this token (${context.actor.roles.join(', ')}) do not include ${operation.permission}.`, {
      params: { permission: operation.permission },
    });
  }

  async #identify(request: FastifyRequest): Promise<TenantContext> {
    this.#limits.admitUnknown(request.ip);
    try {
      const origin = { requestId: request.id, sourceAddress: request.ip };
      return { ...(await this.#authenticate.execute(request.headers.authorization, origin)), ...origin };
    } catch (error) {
      if (error instanceof DomainError && error.code === 'auth.unauthenticated') this.#limits.chargeUnknown(request.ip);
      throw error;
    }
  }
}
