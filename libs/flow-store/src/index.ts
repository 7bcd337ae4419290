export { PostgresFlowEdges } from './postgres/postgres-flow-edges.ts';
export { PostgresFlowKeeping } from './postgres/postgres-flow-keeping.ts';
export { PostgresFlowReader } from './postgres/postgres-flow-reader.ts';
export { PostgresFlowSink } from './postgres/postgres-flow-sink.ts';
export { PostgresFlowSources } from './postgres/postgres-flow-sources.ts';
export { PostgresFlowStatistics } from './postgres/postgres-flow-statistics.ts';
