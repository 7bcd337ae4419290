export * from './flow-account.ts';
export * from './flow-batch-builder.ts';
export * from './flow-columns.ts';
export * from './flow-record.ts';
export * from './flow-row.ts';
export * from './ip-address.ts';
