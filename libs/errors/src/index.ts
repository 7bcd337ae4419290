export { CATALOGUE, type ErrorCode, type ErrorKind } from './catalogue.ts';
export { DomainError, isDomainError, type DomainErrorDetails, type Fault } from './domain-error.ts';
