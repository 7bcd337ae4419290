/** Numbers of rules and default denies: u32, derived from content, so that flows keep their meaning across compiles. */

import type { PolicyRule } from './ir.ts';
import type { Direction } from './resolution.ts';

/** FNV-1a over UTF-16 code units with a final avalanche (murmur3's): well spread, and small enough for every engine. */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * Takes `wanted`, or the next free number above it, in `taken` (0 is never given: it means "no rule").
 * Deterministic as long as callers ask in a fixed order.
 */
export function claimRuleId(wanted: number, taken: Set<number>): number {
  let id = wanted;
  while (id === 0 || taken.has(id)) id = (id + 1) >>> 0;
  taken.add(id);
  return id;
}

/** The number a rule wants: a hash of its policy, direction and content; equal rules of one policy differ by `ordinal`. */
export function wantedRuleId(policyKey: string, direction: Direction, rule: Omit<PolicyRule, 'id' | 'index'>, ordinal: number): number {
  return hash32(`${policyKey}|${direction}|${ordinal}|${JSON.stringify(rule)}`);
}

/** The number of a default deny: a hash of the policies that isolate the endpoint in that direction. */
export function wantedDefaultDenyId(direction: Direction, isolatingPolicyKeys: readonly string[]): number {
  const hashes = isolatingPolicyKeys.map(hash32).sort((a, b) => a - b);
  return hash32(`default-deny|${direction}|${hashes.join('|')}`);
}
