import type { FlowExport, FlowPosition, StoredFlow } from '@palisade/control';
import { flowOcsf } from '@palisade/flow';
import { viewOfCoverage, viewOfFlow, type FlowView } from './flow-view.ts';

/** A position as text, where an export can be gone on with. */
export type CursorText = (position: FlowPosition) => string;

/** One flow a line, then where to go on (if asked for) after each page; the last line says what the flows may lack. */
async function* lines({ pages, coverage }: FlowExport, write: (flow: StoredFlow) => unknown, cursor: CursorText | undefined): AsyncGenerator<string> {
  for await (const { flows, next } of pages) {
    const texts = flows.map((flow) => JSON.stringify(write(flow)));
    if (cursor !== undefined && next !== undefined) texts.push(JSON.stringify({ cursor: cursor(next) }));
    if (texts.length > 0) yield `${texts.join('\n')}\n`;
  }
  yield `${JSON.stringify({ coverage: viewOfCoverage(coverage) })}\n`;
}

export function flowNdjson(answer: FlowExport, cursor?: CursorText): AsyncGenerator<string> {
  return lines(answer, viewOfFlow, cursor);
}

/** Class 4001 of OCSF, one event a line. */
export function flowOcsfLines(answer: FlowExport, cursor?: CursorText): AsyncGenerator<string> {
  return lines(answer, flowOcsf, cursor);
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
  for await (const { flows } of pages) yield flows.map((flow) => viewOfFlow(flow)).map((flow) => `${COLUMNS.map(([, read]) => csvField(read(flow))).join(',')}\r\n`).join('');
}
