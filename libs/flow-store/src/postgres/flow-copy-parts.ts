import type { CopySource, SeldomColumns } from './flow-copy.ts';

/** Rows that go out in one COPY. */
export interface CopyPart {
  readonly sources: readonly CopySource[];
  /** Which of the columns that few flows have any of these rows has. */
  readonly seldom: SeldomColumns;
}

interface Part {
  readonly sources: CopySource[];
  readonly seldom: { -readonly [Column in keyof SeldomColumns]: boolean };
}

function emptyPart(): Part {
  return { sources: [], seldom: { process: false, http: false, dns: false, rtt: false, latency: false, weight: false, shadow: false, status: false } };
}

/**
 * Parts rows by whether they tell of HTTP or DNS, and says which columns each part needs: a column that is left out of a COPY
 * becomes NULL, which is what absent values are, and costs neither side anything. Few flows carry layer 7, and the columns of
 * the others would go out empty with every row.
 */
export function copyParts(sources: readonly CopySource[]): CopyPart[] {
  const plain = emptyPart();
  const layer7 = emptyPart();
  for (const source of sources) {
    const { columns } = source;
    if (columns.httpRequests.length + columns.dnsAnswers.length === 0) {
      addRows(plain, source, source.rows);
      continue;
    }
    const rows = partedRows(source);
    addRows(plain, source, rows.plain);
    addRows(layer7, source, rows.layer7);
  }
  return [plain, layer7].filter((part) => part.sources.length > 0);
}

function partedRows({ columns, rows }: CopySource): { readonly plain: Uint16Array; readonly layer7: Uint16Array } {
  const count = rows?.length ?? columns.rows;
  const plain = new Uint16Array(count);
  const layer7 = new Uint16Array(count);
  let plainRows = 0;
  let layer7Rows = 0;
  for (let index = 0; index < count; index++) {
    const row = rows === undefined ? index : (rows[index] ?? 0);
    if (((columns.http[row] ?? 0) | (columns.dns[row] ?? 0)) === 0) plain[plainRows++] = row;
    else layer7[layer7Rows++] = row;
  }
  return { plain: plain.subarray(0, plainRows), layer7: layer7.subarray(0, layer7Rows) };
}

/** Each column is read by its own expression, as where rows are written. */
function addRows({ sources, seldom }: Part, source: CopySource, rows: Uint16Array | undefined): void {
  const { columns } = source;
  const count = rows?.length ?? columns.rows;
  if (count === 0) return;
  let process = 0;
  let http = 0;
  let dns = 0;
  let rtt = 0;
  let latency = 0;
  let weight = 0;
  let shadow = 0;
  let status = 0;
  for (let index = 0; index < count; index++) {
    const row = rows === undefined ? index : (rows[index] ?? 0);
    process |= columns.process[row] ?? 0;
    http |= columns.http[row] ?? 0;
    dns |= columns.dns[row] ?? 0;
    rtt |= columns.rttUs[row] ?? 0;
    latency |= columns.latencyUs[row] ?? 0;
    // A weight of one is what NULL stands for, as 0 is elsewhere.
    weight |= (columns.weight[row] ?? 0) ^ 1;
    shadow |= columns.shadowVerdict[row] ?? 0;
    status |= columns.httpStatus[row] ?? 0;
  }
  sources.push(rows === undefined ? source : { ...source, rows });
  seldom.process ||= process !== 0;
  seldom.http ||= http !== 0;
  seldom.dns ||= dns !== 0;
  seldom.rtt ||= rtt !== 0;
  seldom.latency ||= latency !== 0;
  seldom.weight ||= weight !== 0;
  seldom.shadow ||= shadow !== 0;
  seldom.status ||= status !== 0;
}
