export { PostgresFlowEdges } from './postgres/postgres-flow-edges.ts';
export { PostgresFlowKeeping } from './postgres/postgres-flow-keeping.ts';
export { PostgresFlowPrivacy } from './postgres/postgres-flow-privacy.ts';
export { PostgresFlowReader } from './postgres/postgres-flow-reader.ts';
export { PostgresFlowSink } from './postgres/postgres-flow-sink.ts';
export { PostgresFlowSources } from './postgres/postgres-flow-sources.ts';
export { PostgresFlowStatistics } from './postgres/postgres-flow-statistics.ts';
export { clickHouseFlowKeeping, clickHouseFlowReaders, clickHouseFlowSink, postgresFlowReaders, type ClickHouseAddress, type FlowReaders } from './open-flow-store.ts';
export type { SpoolFigures } from './clickhouse/clickhouse-flow-sink.ts';
