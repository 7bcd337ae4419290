import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { listFlowsQuery, selectionOf } from './flow-query.ts';
import { instantText, instantUs } from './instant.ts';

describe('flow query parameters', () => {
  it('asks for everything when nothing is given', () => {
    const query = listFlowsQuery.parse({});
    expect(selectionOf(query)).toEqual({ allow: [], deny: [] });
    expect(query).toMatchObject({ order: 'newest', limit: 100 });
  });

  it('reads every parameter into the filter', () => {
    const { allow } = selectionOf(listFlowsQuery.parse({
      verdict: 'dropped,audit', namespace: ['shop', 'data'], sourceWorkload: 'frontend-*', destinationPort: '8080,5432', ip: '10.0.0.0/8', protocol: 'tcp,17',
      policy: 'CiliumNetworkPolicy/shop/frontend', rule: 'egress/0,default-deny', label: 'app in (web,api)', reply: 'false', httpStatus: '5+', shadowDiffers: 'true',
    }));
    expect(allow).toEqual([{
      either: { namespaces: ['shop', 'data'], labels: [[{ key: 'app', operator: 'in', values: ['web', 'api'] }]], prefixes: [{ bytes: new Uint8Array([10, 0, 0, 0]), length: 8 }] },
      source: { workloads: ['frontend-*'] },
      destination: { ports: [8080, 5432] },
      verdicts: ['dropped', 'audit'], protocols: [6, 17], reply: false, shadowDiffers: true, httpStatuses: ['5+'],
      policies: [
        { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'frontend', rule: 0, direction: 'egress' },
        { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'frontend', rule: 'default-deny' },
      ],
    }]);
  });

  it.each([
    ['an unknown parameter', { verdikt: 'dropped' }], ['an unknown verdict', { verdict: 'denied' }], ['a port out of range', { port: '70000' }],
    ['a broken CIDR', { ip: '10.0.0.0/40' }], ['a broken selector', { label: 'app in web' }], ['an unknown protocol', { protocol: 'tpc' }],
    ['a page of nothing', { limit: '0' }], ['a page of too much', { limit: '1001' }], ['a time in words', { since: 'yesterday' }], ['a status out of range', { httpStatus: '700' }],
    ['too many values', { port: Array.from({ length: 51 }, (_, port) => String(port)) }], ['a rule in words', { policy: 'a', rule: 'first' }],
  ])('refuses %s', (_, query) => {
    expect(listFlowsQuery.safeParse(query).success).toBe(false);
  });

  it('keeps microseconds, and reads durations back from now', () => {
    expect(instantText(instantUs('2026-11-22T23:05:00.123456Z', 0))).toBe('2026-11-22T23:05:00.123456Z');
    expect(instantUs('2026-11-23T01:05:00+02:00', 0)).toBe(instantUs('2026-11-22T23:05:00Z', 0));
    expect(instantUs('15m', 1_000_000_000)).toBe(100_000_000);
  });
});

describe('the query parameters in the OpenAPI document', () => {
  it('can be described, each one', () => {
    const schema = z.toJSONSchema(listFlowsQuery, { io: 'input' });
    expect(Object.keys(schema.properties ?? {})).toEqual(expect.arrayContaining(['verdict', 'sourceNamespace', 'destinationIp', 'policy', 'since', 'cursor']));
  });
});
