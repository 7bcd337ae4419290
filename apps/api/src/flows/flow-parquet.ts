import type { FlowExport, StoredFlow } from '@palisade/control';
import { ByteWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import { FLOW_TABLE, type FlowColumn } from './flow-columns.ts';
import { viewOfCoverage } from './flow-view.ts';

/** Flows that are held in memory and written together. Fewer make the index at the end of the file longer. */
const ROW_GROUP = 10_000;

const TYPES: Readonly<Record<FlowColumn['kind'], Pick<SchemaElement, 'type' | 'converted_type'>>> = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  number: { type: 'INT64' },
  time: { type: 'INT64', converted_type: 'TIMESTAMP_MICROS' },
};
const SCHEMA: SchemaElement[] = [
  { name: 'flows', num_children: FLOW_TABLE.length },
  ...FLOW_TABLE.map(({ name, kind }): SchemaElement => ({ name, repetition_type: 'OPTIONAL', ...TYPES[kind] })),
];

/** Undefined stands for an empty cell. */
function cells({ kind, read }: FlowColumn, flows: readonly StoredFlow[]): (string | bigint | undefined)[] {
  return flows.map((flow) => {
    const value = read(flow);
    return kind === 'text' || value === undefined ? (value as string | undefined) : BigInt(value);
  });
}

/** What was written so far; the writer forgets it, and keeps count of where it is. */
function taken(writer: ByteWriter): Uint8Array {
  const bytes = writer.getBytes().slice();
  writer.index = 0;
  return bytes;
}

/**
 * The flows as a Parquet file (format version 2, Snappy), a row group at a time: what stays in memory is one row group, and of
 * those before it what the file's index says at the end (about 1.4 kilobytes each). The coverage is in the file's metadata, as `palisade.coverage`.
 */
export async function* flowParquet({ pages, coverage }: FlowExport): AsyncGenerator<Uint8Array> {
  const writer = new ByteWriter();
  const file = new ParquetWriter({
    writer, schema: SCHEMA, statistics: false, createdBy: 'palisade', kvMetadata: [{ key: 'palisade.coverage', value: JSON.stringify(viewOfCoverage(coverage)) }],
  });
  let waiting: StoredFlow[] = [];
  const write = async (): Promise<Uint8Array> => {
    await file.write({ columnData: FLOW_TABLE.map((column) => ({ name: column.name, data: cells(column, waiting), offsetIndex: false })), rowGroupSize: ROW_GROUP });
    waiting = [];
    return taken(writer);
  };
  for await (const { flows } of pages) {
    waiting.push(...flows);
    if (waiting.length >= ROW_GROUP) yield await write();
  }
  if (waiting.length > 0) yield await write();
  await file.finish();
  yield taken(writer);
}
