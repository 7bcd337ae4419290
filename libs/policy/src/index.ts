export * from './facts.ts';
export * from './resolution.ts';
