import { createHash } from 'node:crypto';
import { Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import { PostgresIdempotencyKeys } from '@palisade/store';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { from, lastValueFrom, type Observable } from 'rxjs';
import { OPERATION, type OperationOptions } from '../access/operation.ts';
import { setTenantContext, tenantContextOf } from '../access/request-context.ts';
import { openResponse, sealResponse } from './sealed-response.ts';

const KEY_FORMAT = /^[\x21-\x7e]{1,255}$/;

/** One request with its key, ready for the store. */
interface KeyedRequest {
  readonly context: TenantContext;
  readonly token: string;
  readonly key: string;
  readonly keyHash: Buffer;
  readonly requestHash: Buffer;
}

/** Answers a repeated POST with its first answer (draft-ietf-httpapi-idempotency-key-header). */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  readonly #reflector: Reflector;
  readonly #keys: PostgresIdempotencyKeys;

  constructor(reflector: Reflector, keys: PostgresIdempotencyKeys) {
    this.#reflector = reflector;
    this.#keys = keys;
  }

  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    const operation = this.#reflector.get<OperationOptions | undefined>(OPERATION, execution.getHandler());
    const request = execution.switchToHttp().getRequest<FastifyRequest>();
    const key = request.headers['idempotency-key'];
    if (!operation?.creates || key === undefined) return next.handle();
    if (typeof key !== 'string' || !KEY_FORMAT.test(key)) {
      throw new DomainError('request.invalid', 'Idempotency-Key takes 1 to 255 visible ASCII characters, for example a UUID.', { pointer: '/headers/idempotency-key' });
    }
    const reply = execution.switchToHttp().getResponse<FastifyReply>();
    const keyedRequest = keyed(request, key);
    setTenantContext(request, { ...keyedRequest.context, idempotencyKeyHash: keyedRequest.keyHash });
    return from(this.#once(keyedRequest, reply, operation.status ?? 200, next));
  }

  async #once(request: KeyedRequest, reply: FastifyReply, status: number, next: CallHandler): Promise<unknown> {
    const claim = await this.#keys.claim(request.context, request.keyHash, request.requestHash);
    if (claim.state === 'in-flight') {
      throw new DomainError('idempotency.in-flight', 'The first request with this Idempotency-Key has not ended: wait for its answer, then repeat.', { params: { retryAfterSeconds: 1 } });
    }
    if (claim.state === 'answer-lost') {
      throw new DomainError('idempotency.answer-lost', 'The first request with this Idempotency-Key was carried out, but its answer was lost: read the resource instead of repeating.');
    }
    if (claim.state === 'mismatch') {
      throw new DomainError('idempotency.mismatch', 'This Idempotency-Key belongs to a request with another path or body: use a new key.');
    }
    if (claim.state === 'done') {
      void reply.status(claim.status).header('idempotency-replayed', 'true');
      return JSON.parse(openResponse(request.token, request.key, claim.response)) as unknown;
    }
    return this.#run(request, status, next);
  }

  async #run(request: KeyedRequest, status: number, next: CallHandler): Promise<unknown> {
    let answer: unknown;
    try {
      answer = await lastValueFrom(next.handle());
    } catch (error) {
      await this.#keys.release(request.context, request.keyHash);
      throw error;
    }
    await this.#keys.complete(request.context, request.keyHash, status, sealResponse(request.token, request.key, JSON.stringify(answer ?? null)));
    return answer;
  }
}

/** A key belongs to the actor that uses it: another actor's equal key is another key. */
function keyed(request: FastifyRequest, key: string): KeyedRequest {
  const context = tenantContextOf(request);
  return {
    context,
    token: request.headers.authorization ?? '',
    key,
    keyHash: sha256([context.actor.id, key]),
    requestHash: sha256([request.method, request.url, typeof request.body === 'string' ? request.body : (JSON.stringify(request.body) ?? '')]),
  };
}

function sha256(parts: readonly string[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest();
}
