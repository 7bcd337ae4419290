
export * from './flow/flow-batch-codec.ts';
export * from './flow/flow-receipt-codec.ts';
