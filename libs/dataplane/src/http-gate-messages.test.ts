import { describe, expect, it } from 'vitest';
import { gatePort } from './http-gate-messages.ts';

describe('the gate’s port for a client’s', () => {
  it('is another one, and leads back', () => {
    for (let port = 1; port < 65_536; port += 1) expect(gatePort(gatePort(port))).toBe(port);
    expect([gatePort(32_768), gatePort(60_999), gatePort(1024), gatePort(32_767), gatePort(64_511)]).toEqual([1024, 29_255, 32_768, 64_511, 32_767]);
  });
  it('needs no privilege', () => {
    expect([80, 1023, 64_512, 65_535].map(gatePort)).toEqual([80, 1023, 64_512, 65_535]);
    for (let port = 1024; port < 65_536; port += 1) expect(gatePort(port)).toBeGreaterThanOrEqual(1024);
  });
});
