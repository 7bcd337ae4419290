import { StandardSchemaValidationPipe } from '@nestjs/common';
import { DomainError, type Fault } from '@palisade/errors';

type Issues = Parameters<NonNullable<NonNullable<ConstructorParameters<typeof StandardSchemaValidationPipe>[0]>['exceptionFactory']>>[0];

const FAULTS_SHOWN = 50;

/** Checks every `@Body`, `@Query` and `@Param` that carries a schema. In Nest 12 a schema alone validates nothing. */
export function validationPipe(): StandardSchemaValidationPipe {
  return new StandardSchemaValidationPipe({ exceptionFactory: invalidRequest });
}

function invalidRequest(issues: Issues): DomainError {
  const faults = issues.slice(0, FAULTS_SHOWN).map((issue): Fault => ({ code: 'request.invalid', detail: issue.message, pointer: pointerOf(issue) }));
  const [first] = faults;
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : '';
  return new DomainError('request.invalid', `${first?.pointer || 'The request'}: ${first?.detail ?? 'is not valid'}${more}`, {
    ...(first?.pointer === undefined ? {} : { pointer: first.pointer }),
    faults,
  });
}

/** RFC 6901. */
function pointerOf(issue: Issues[number]): string {
  return (issue.path ?? [])
    .map((segment) => String(typeof segment === 'object' ? segment.key : segment))
    .map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`)
    .join('');
}
