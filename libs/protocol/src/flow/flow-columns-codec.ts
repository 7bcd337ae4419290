import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  allocateColumns,
  columnDefinition,
  FLOW_COLUMN_NAMES,
  type FlowColumnName,
  type FlowColumns,
  type FlowDictionaries,
} from '@palisade/flow';
import { DictionaryReader, writeDictionaries } from './flow-dictionaries-codec.ts';
import { packColumn, packedCapacity, unpackColumn } from './varint-column.ts';

/** Column fields start at 11: one field per column, in the order of `FLOW_COLUMNS`. */
const FIRST_COLUMN_FIELD = 11;
const LARGEST = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff, f64: Number.MAX_SAFE_INTEGER } as const;

/** Bytes of a FlowColumns message (flow.proto). */
export function encodeFlowColumns(columns: FlowColumns): Uint8Array {
  const writer = new BinaryWriter();
  writeDictionaries(writer, columns);
  const scratch = new Uint8Array(packedCapacity(columns.rows));
  for (const [index, name] of FLOW_COLUMN_NAMES.entries()) {
    const bytes = packColumn(columns[name], columns.rows, columnDefinition(name).delta === true, scratch);
    if (bytes !== undefined) writer.tag(FIRST_COLUMN_FIELD + index, WireType.LengthDelimited).bytes(bytes);
  }
  return writer.finish();
}

function columnOfField(field: number): FlowColumnName | undefined {
  return FLOW_COLUMN_NAMES[field - FIRST_COLUMN_FIELD];
}

/** @throws RangeError where a row names an entry that the batch does not carry */
function checkIndexes(name: FlowColumnName, largest: number, dictionaries: FlowDictionaries): void {
  const { dictionary, optional } = columnDefinition(name);
  if (dictionary === undefined) return;
  const entries = dictionaries[dictionary].length;
  if (largest > (optional === true ? entries : entries - 1)) throw new RangeError(`A row names ${name} ${largest}, but the batch carries ${entries}.`);
}

/**
 * Reads a FlowColumns message of `rows` rows. Fields this version does not know are skipped (a newer agent's).
 * @throws RangeError (or TypeError from text decoding) on anything malformed
 */
export function decodeFlowColumns(bytes: Uint8Array, rows: number): FlowColumns {
  const reader = new BinaryReader(bytes);
  const dictionaryReader = new DictionaryReader();
  const arrays = allocateColumns(rows);
  const largest: Partial<Record<FlowColumnName, number>> = {};
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const name = columnOfField(field);
    if (wireType !== WireType.LengthDelimited) { reader.skip(wireType, field); continue; }
    const value = reader.bytes();
    if (name === undefined) dictionaryReader.read(field, value);
    else {
      const { array, delta } = columnDefinition(name);
      largest[name] = unpackColumn(value, arrays[name], rows, LARGEST[array], delta === true);
    }
  }
  const dictionaries: FlowDictionaries = dictionaryReader.finish();
  if (rows > 0) for (const name of FLOW_COLUMN_NAMES) checkIndexes(name, largest[name] ?? 0, dictionaries);
  return { ...arrays, ...dictionaries, rows };
}
