export * from './flow-record.ts';
