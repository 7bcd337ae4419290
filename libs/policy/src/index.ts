export * from './facts.ts';
export * from './ir.ts';
export * from './policy-set.ts';
export * from './resolution.ts';
export { claimRuleId, wantedDefaultDenyId, wantedRuleId } from './rule-id.ts';
export * from './verdict.ts';
