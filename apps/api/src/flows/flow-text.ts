import type { FlowExport } from '@palisade/control';
import { viewOfCoverage, viewOfFlow, type FlowView } from './flow-view.ts';

/** One flow a line; the last line says what the flows may lack. */
export async function* flowNdjson({ pages, coverage }: FlowExport): AsyncGenerator<string> {
  for await (const flows of pages) if (flows.length > 0) yield `${flows.map((flow) => JSON.stringify(viewOfFlow(flow))).join('\n')}\n`;
  yield `${JSON.stringify({ coverage: viewOfCoverage(coverage) })}\n`;
}

type Column = readonly [string, (flow: FlowView) => string | number | boolean | undefined];

const COLUMNS: readonly Column[] = [
  ['id', (flow) => flow.id], ['lastSeen', (flow) => flow.lastSeen], ['firstSeen', (flow) => flow.firstSeen], ['event', (flow) => flow.event], ['verdict', (flow) => flow.verdict],
  ['dropReason', (flow) => flow.dropReason], ['direction', (flow) => flow.direction], ['protocol', (flow) => flow.protocol],
  ['sourceAddress', (flow) => flow.source.address], ['sourcePort', (flow) => flow.source.port], ['sourceIdentity', (flow) => flow.source.identity],
  ['sourceNamespace', (flow) => flow.source.namespace], ['sourceWorkload', (flow) => flow.source.workload],
  ['destinationAddress', (flow) => flow.destination.address], ['destinationPort', (flow) => flow.destination.port], ['destinationIdentity', (flow) => flow.destination.identity],
  ['destinationNamespace', (flow) => flow.destination.namespace], ['destinationWorkload', (flow) => flow.destination.workload],
  ['policies', (flow) => flow.policies.map((policy) => `${policy.kind}/${policy.namespace ?? ''}/${policy.name}@${policy.revision}#${policy.index ?? 'default-deny'}`).join(' ')],
  ['packets', (flow) => flow.packets], ['bytes', (flow) => flow.bytes], ['replyPackets', (flow) => flow.replyPackets], ['replyBytes', (flow) => flow.replyBytes],
  ['process', (flow) => flow.process?.binary], ['httpMethod', (flow) => flow.http?.method], ['httpPath', (flow) => flow.http?.path], ['httpStatus', (flow) => flow.http?.status],
  ['dnsQuery', (flow) => flow.dns?.query], ['node', (flow) => flow.node], ['weight', (flow) => flow.weight],
];

/** RFC 4180. What a spreadsheet would take for a formula is quoted with an apostrophe (names come from anybody). */
export function csvField(value: string | number | boolean | undefined): string {
  if (value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  const guarded = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

export async function* flowCsv({ pages }: FlowExport): AsyncGenerator<string> {
  yield `${COLUMNS.map(([name]) => name).join(',')}\r\n`;
  for await (const flows of pages) yield flows.map((flow) => viewOfFlow(flow)).map((flow) => `${COLUMNS.map(([, read]) => csvField(read(flow))).join(',')}\r\n`).join('');
}
