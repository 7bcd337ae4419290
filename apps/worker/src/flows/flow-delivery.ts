import { DeliverFlows, ReadFlowMetrics, SummarizeFlows } from '@palisade/control';
import type { FlowReaders } from '@palisade/flow-store';
import { dueFlowSinks, postgresFlowSinkDeliveries } from '@palisade/store';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { OtlpHttpTransport } from './otlp-transport.ts';

/** Sinks served at once. */
const AT_ONCE = 4;

export interface FlowDelivery {
  /** Serves every sink that is due once; call it often. */
  run(): Promise<void>;
}

/** Sends flows and metrics to the tenants' sinks, from whichever store is configured. */
export function flowDelivery(options: { readonly readers: Pick<FlowReaders, 'reader' | 'edges' | 'statistics'>; readonly source: DataSource; readonly allowInternal: boolean }): FlowDelivery {
  const { reader, edges, statistics } = options.readers;
  const deliver = new DeliverFlows({
    flows: reader,
    metrics: new ReadFlowMetrics({ summaries: new SummarizeFlows({ edges }), statistics }),
    transport: new OtlpHttpTransport({ allowInternal: options.allowInternal }),
    deliveries: (context) => postgresFlowSinkDeliveries(options.source, context),
  });
  return {
    async run() {
      const due = [...(await dueFlowSinks(options.source))];
      const serve = async (): Promise<void> => {
        for (let next = due.shift(); next !== undefined; next = due.shift()) await deliver.execute(systemContext(parseTenantId(next.tenantId), 'worker/flow-sinks'), next.sinkId);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, serve));
    },
  };
}
