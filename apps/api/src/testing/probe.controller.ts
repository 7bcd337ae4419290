import { applyDecorators, Controller, Get, Post, type Type } from '@nestjs/common';
import { z } from 'zod';
import { Operation } from '../access/operation.ts';

// Decorators are called as functions here: the tests' transformer takes their syntax only in what is built.

const shown = z.object({ name: z.string(), inner: z.object({ kept: z.int() }) }).meta({ id: 'Probe' });

/** Routes that misbehave, to see what the conventions make of them. */
export class ProbeController {
  leak() {
    return { name: 'x', secretHash: 'never', inner: { kept: 1, password: 'never' } };
  }

  malformed() {
    return { name: 7, password: 'never' };
  }

  fail(): never {
    throw new Error('password=hunter2');
  }
}

/** A route that forgot its permission. */
export class UndeclaredController {
  get(): string {
    return 'open to everybody';
  }
}

Controller('v1/probe')(ProbeController);
route(ProbeController, 'leak', Get('leak'), Operation({ id: 'leak', summary: 'Answers more than it declares', permission: 'tenant:read', response: shown }));
route(ProbeController, 'malformed', Get('malformed'), Operation({ id: 'malformed', summary: 'Answers something else than it declares', permission: 'tenant:read', response: shown }));
route(ProbeController, 'fail', Post('fail'), Operation({ id: 'fail', summary: 'Fails', permission: 'tenant:read' }));
Controller('v1/undeclared')(UndeclaredController);
route(UndeclaredController, 'get', Get());

function route(controller: Type, method: string, ...decorators: MethodDecorator[]): void {
  const descriptor = Object.getOwnPropertyDescriptor(controller.prototype, method);
  if (descriptor === undefined) throw new Error(`${controller.name} has no method ${method}.`);
  applyDecorators(...decorators)(controller.prototype as object, method, descriptor);
  Reflect.defineMetadata('design:paramtypes', [], controller.prototype as object, method);
}
