import { DomainError } from '@palisade/errors';
import { describe, expect, it } from 'vitest';
import { problemOf } from './problem.ts';

describe('problemOf', () => {
  it('writes code, status, pointer and faults, and leaves out what is not there', () => {
    const error = new DomainError('policy.invalid', 'Line 3 is wrong.', { pointer: '/spec', faults: [{ code: 'field.unknown', detail: 'no', line: 3 }] });
    expect(problemOf(error, 'urn:request:1')).toEqual({
      type: 'urn:palisade:error:policy.invalid',
      title: 'A policy is not valid',
      status: 422,
      code: 'policy.invalid',
      detail: 'Line 3 is wrong.',
      instance: 'urn:request:1',
      pointer: '/spec',
      errors: [{ code: 'field.unknown', detail: 'no', line: 3 }],
    });
    expect(Object.keys(problemOf(new DomainError('resource.not-found', 'None.'), 'x'))).toEqual(['type', 'title', 'status', 'code', 'detail', 'instance']);
  });
});
