export { CATALOGUE, type ErrorCode, type ErrorKind } from './catalogue.ts';
export { DomainError, isDomainError, type DomainErrorDetails } from './domain-error.ts';
