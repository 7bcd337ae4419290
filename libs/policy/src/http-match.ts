/** HTTP requests against the HTTP rules of policies (rule 50). */

import { RE2JS } from 're2js';
import type { HttpMatch } from './ir.ts';
import type { HttpRequest } from './verdict.ts';

/** Compiles an RE2 expression to a test of the whole value. Throws re2js's syntax error. */
export function compileWholeMatch(expression: string): (value: string) => boolean {
  const compiled = RE2JS.compile(expression, RE2JS.DOTALL);
  return (value) => compiled.matches(value);
}

/** All given fields must match; header names are case-insensitive; a header with a mismatch action never fails. */
export function compileHttpMatch(rule: HttpMatch): (request: HttpRequest) => boolean {
  const tests: ((request: HttpRequest) => boolean)[] = [];
  for (const field of ['method', 'path', 'host'] as const) {
    const expression = rule[field];
    if (expression === undefined || expression === '') continue;
    const whole = compileWholeMatch(expression);
    tests.push((request) => whole(request[field]));
  }
  for (const { name, value, mismatch } of rule.headers ?? []) {
    if (mismatch !== undefined) continue;
    const wanted = name.toLowerCase();
    tests.push((request) => headerValues(request, wanted).some((found) => value === undefined || found === value));
  }
  return (request) => tests.every((test) => test(request));
}

function headerValues(request: HttpRequest, lowerName: string): string[] {
  return Object.entries(request.headers ?? {})
    .filter(([name]) => name.toLowerCase() === lowerName)
    .map(([, value]) => value);
}
