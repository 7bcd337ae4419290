import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CATALOGUE, type ErrorKind } from './catalogue.ts';

const STATUS: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  precondition: 412,
  'too-large': 413,
  unprocessable: 422,
  'rate-limited': 429,
  internal: 500,
  unavailable: 503,
};

describe('docs/errors.md', () => {
  it('lists every code of the catalogue, in its order, with status and title', () => {
    const text = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `([a-z.-]+)` \| (\d{3}) \| (.+?) \| .+ \|$/gm)].map(([, code, status, title]) => [code, Number(status), title]);
    expect(rows).toEqual(Object.entries(CATALOGUE).map(([code, { kind, title }]) => [code, STATUS[kind], title]));
  });
});

describe('a code', () => {
  it.each(Object.keys(CATALOGUE))('%s is two words of lower case', (code) => {
    expect(code).toMatch(/^[a-z]+\.[a-z]+(-[a-z]+)*$/);
  });
});
