import { describe, expect, it } from 'vitest';
import { PathTemplates, pathTemplate } from './path-template.ts';

describe('path templates', () => {
  it.each([
    ['/', '/'],
    ['/orders/17', '/orders/{id}'],
    ['/orders/17/items/', '/orders/{id}/items/'],
    ['/u/4f9d2c1e-8a77-4b0e-9d55-0e6b6f6f1c2d', '/u/{id}'],
    ['/blobs/deadbeef01', '/blobs/{id}'],
    ['/facade/decade', '/facade/decade'],
    ['/users/jo@example.com', '/users/{id}'],
    ['/users/jo%40example.com', '/users/{id}'],
    ['/s/eyJhbGciOiJIUzI1NiJ9abc', '/s/{id}'],
    ['/api/v1/pods', '/api/v1/pods'],
    ['http://shop.example/a/9', '/a/{id}'],
    ['*', '*'],
    ['/a/b/c/d/e/f/g/h/i', '/a/b/c/d/e/f/g/h/…'],
  ])('%s becomes %s', (path, template) => expect(pathTemplate(path)).toBe(template));

  it('does not keep a segment that was cut', () => expect(pathTemplate('/orders/secre', true)).toBe('/orders/…'));

  it('bounds how many a destination has', () => {
    const templates = new PathTemplates(2);
    expect(['/a', '/b', '/c', '/a'].map((path) => templates.get('shop', path, false))).toEqual(['/a', '/b', '{other}', '/a']);
    expect(templates.get('other', '/c', false)).toBe('/c');
  });
});
