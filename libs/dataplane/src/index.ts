export * from './kernel-event.ts';
export * from './local-endpoint.ts';
