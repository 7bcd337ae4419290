export { parsePolicies, parsePolicyValues, type ParsedPolicies, type ParseOptions } from './parse-policies.ts';
export { L7_MODE_ANNOTATION, MODE_ANNOTATION } from './policy-draft.ts';
export type { CompileOptions } from './policy-kinds.ts';
export type { Problem, ProblemCode } from './problem.ts';
export { DEFAULT_LIMITS, type InputLimits } from './source/input-limits.ts';
