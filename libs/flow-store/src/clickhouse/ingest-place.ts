import { DomainError } from '@palisade/errors';
import type { IngestPosition } from '@palisade/control';

/** A segment, by who numbered it. */
export interface SegmentName {
  readonly writer: string;
  readonly segment: number;
}

/** How far a follower has read: for every writer the last segment, and the batch within one more segment. */
export interface IngestPlace {
  readonly read: ReadonlyMap<string, number>;
  readonly within?: SegmentName & { readonly batch: string };
}

const NOTHING = '0';
const NAME = /^([0-9a-f]{8})-(\d{1,15})$/;

function nameText({ writer, segment }: SegmentName): string {
  return `${writer}-${segment}`;
}

function parseName(text: string): SegmentName | undefined {
  const match = NAME.exec(text);
  return match === null ? undefined : { writer: match[1] ?? '', segment: Number(match[2]) };
}

/** `writer-segment` for every writer, joined by `_`; the segment that was read in part comes last, after `!`. */
export function positionOf({ read, within }: IngestPlace): IngestPosition {
  const all = [...read].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([writer, segment]) => nameText({ writer, segment })).join('_');
  const commit = `${all === '' ? NOTHING : all}${within === undefined ? '' : `!${nameText(within)}`}`;
  return { commit, batch: within?.batch ?? '0' };
}

/** @throws DomainError `cursor.invalid` for a position of another store */
export function placeOf({ commit, batch }: IngestPosition): IngestPlace {
  const [all = '', part] = commit.split('!');
  const names = all === NOTHING ? [] : all.split('_').map(parseName);
  const within = part === undefined ? undefined : parseName(part);
  if (names.includes(undefined) || (part !== undefined && within === undefined) || !/^\d{1,19}$/.test(batch)) {
    throw new DomainError('cursor.invalid', 'This cursor is of another flow store: start without one.', { pointer: '/cursor' });
  }
  const read = new Map(names.flatMap((name) => (name === undefined ? [] : [[name.writer, name.segment] as const])));
  return within === undefined ? { read } : { read, within: { ...within, batch } };
}
