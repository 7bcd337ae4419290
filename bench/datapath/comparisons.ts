/** What is compared with what, and which figures of the issue come of it. */

import { iptables, nftMap, nftRules, nftSet, palisade, type Filter, type TrafficKind } from './configurations.ts';

export const CONFIGURATIONS = {
  none: { filter: undefined },
  'palisade-watching': { filter: palisade(0) },
  'palisade-10': { filter: palisade(10) },
  'palisade-1k': { filter: palisade(1_000) },
  'palisade-100k': { filter: palisade(100_000) },
  'nft-map-10k': { filter: nftMap(10_000), needs: 'nft' },
  'nft-set-10k': { filter: nftSet(10_000), needs: 'nft' },
  'nft-10': { filter: nftRules(10), needs: 'nft' },
  'nft-1k': { filter: nftRules(1_000), needs: 'nft' },
  'nft-10k': { filter: nftRules(10_000), needs: 'nft' },
  'iptables-10': { filter: iptables(10, 'legacy'), needs: 'iptables-legacy-restore' },
  'iptables-1k': { filter: iptables(1_000, 'legacy'), needs: 'iptables-legacy-restore' },
  'iptables-10k': { filter: iptables(10_000, 'legacy'), needs: 'iptables-legacy-restore' },
  'iptables-nft-10': { filter: iptables(10, 'nft'), needs: 'iptables-nft-restore' },
  'iptables-nft-1k': { filter: iptables(1_000, 'nft'), needs: 'iptables-nft-restore' },
  'iptables-nft-10k': { filter: iptables(10_000, 'nft'), needs: 'iptables-nft-restore' },
} as const satisfies Record<string, { readonly filter: Filter | undefined; readonly needs?: string }>;
export type Name = keyof typeof CONFIGURATIONS;

/** Configurations that run interleaved in one series. */
export interface Series {
  readonly kind: TrafficKind;
  readonly names: readonly Name[];
  readonly rounds: number;
  readonly seconds: number;
}

const RULE_LISTS: readonly Name[] = [
  'iptables-10', 'nft-10', 'iptables-nft-10', 'iptables-1k', 'nft-1k', 'iptables-nft-1k', 'nft-set-10k', 'palisade-1k',
];

/** Close ratios get long samples and many rounds, with few contestants between; rule lists differ by multiples and need neither. */
export const SERIES: readonly Series[] = [
  { kind: 'rr', names: ['none', 'palisade-100k', 'palisade-watching'], rounds: 21, seconds: 0.5 },
  { kind: 'crr', names: ['none', 'palisade-100k', 'palisade-10', 'nft-map-10k'], rounds: 21, seconds: 0.5 },
  { kind: 'udp', names: ['none', 'palisade-100k'], rounds: 21, seconds: 0.4 },
  { kind: 'stream', names: ['none', 'palisade-100k', 'nft-map-10k'], rounds: 15, seconds: 0.3 },
  { kind: 'crr', names: ['palisade-100k', 'iptables-10k', 'nft-10k', 'iptables-nft-10k'], rounds: 15, seconds: 0.25 },
  { kind: 'udp', names: ['palisade-100k', 'iptables-10k', 'nft-10k', 'iptables-nft-10k'], rounds: 15, seconds: 0.25 },
  { kind: 'crr', names: ['none', ...RULE_LISTS], rounds: 15, seconds: 0.08 },
  { kind: 'rr', names: ['none', ...RULE_LISTS], rounds: 15, seconds: 0.05 },
  { kind: 'udp', names: ['none', ...RULE_LISTS], rounds: 15, seconds: 0.06 },
];

interface Target {
  readonly text: string;
  readonly met: (value: number) => boolean;
}

/** Time per operation of `b` over `a`; a speed-up is the same with Palisade as `a`. */
export interface Figure {
  readonly figure: string;
  readonly kind: TrafficKind;
  readonly a: Name;
  readonly b: Name;
  readonly target?: Target;
}

const atMost = (limit: number): Target => ({ text: `≤ ${limit}`, met: (value) => value <= limit });
const atLeast = (limit: number): Target => ({ text: `≥ ${limit}`, met: (value) => value >= limit });

/** The targets against nf_tables were set on rules that the iptables command made there; `native` are nft's own. */
export const FIGURES: readonly Figure[] = [
  { figure: 'rr_ratio_none', kind: 'rr', a: 'none', b: 'palisade-100k', target: atMost(1.03) },
  { figure: 'rr_ratio_watching', kind: 'rr', a: 'none', b: 'palisade-watching' },
  { figure: 'crr_ratio_none', kind: 'crr', a: 'none', b: 'palisade-100k', target: atMost(1.08) },
  { figure: 'udp_ratio_none', kind: 'udp', a: 'none', b: 'palisade-100k' },
  { figure: 'stream_ratio_none', kind: 'stream', a: 'none', b: 'palisade-100k' },
  { figure: 'crr_ratio_10_entries', kind: 'crr', a: 'palisade-10', b: 'palisade-100k', target: atMost(1.05) },
  { figure: 'crr_ratio_nft_map_10k', kind: 'crr', a: 'nft-map-10k', b: 'palisade-100k', target: atMost(0.97) },
  { figure: 'crr_speedup_iptables_10k', kind: 'crr', a: 'palisade-100k', b: 'iptables-10k', target: atLeast(1.4) },
  { figure: 'crr_speedup_nft_10k', kind: 'crr', a: 'palisade-100k', b: 'iptables-nft-10k', target: atLeast(2.9) },
  { figure: 'crr_speedup_nft_native_10k', kind: 'crr', a: 'palisade-100k', b: 'nft-10k' },
  { figure: 'udp_speedup_iptables_10k', kind: 'udp', a: 'palisade-100k', b: 'iptables-10k', target: atLeast(9) },
  { figure: 'udp_speedup_nft_10k', kind: 'udp', a: 'palisade-100k', b: 'iptables-nft-10k', target: atLeast(30) },
  { figure: 'udp_speedup_nft_native_10k', kind: 'udp', a: 'palisade-100k', b: 'nft-10k' },
];
