import type { FlowExport, FlowPosition, StoredFlow } from '@palisade/control';
import { flowOcsf } from '@palisade/flow';
import { FLOW_TABLE, type FlowColumn } from './flow-columns.ts';
import { viewOfCoverage, viewOfFlow } from './flow-view.ts';
import { instantText } from './instant.ts';

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

/** RFC 4180. What a spreadsheet would take for a formula is quoted with an apostrophe (names come from anybody). */
export function csvField(value: string | number | boolean | undefined): string {
  if (value === undefined) return '';
  if (typeof value !== 'string') return String(value);
  const guarded = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
}

function cell(column: FlowColumn, flow: StoredFlow): string {
  if (column.kind !== 'time') return csvField(column.read(flow));
  const us = column.read(flow);
  return us === undefined ? '' : instantText(us);
}

export async function* flowCsv({ pages }: FlowExport): AsyncGenerator<string> {
  yield `${FLOW_TABLE.map(({ name }) => name).join(',')}\r\n`;
  for await (const { flows } of pages) yield flows.map((flow) => `${FLOW_TABLE.map((column) => cell(column, flow)).join(',')}\r\n`).join('');
}
