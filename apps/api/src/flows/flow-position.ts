import type { FlowPosition } from '@palisade/control';
import { DomainError } from '@palisade/errors';

/** A position as it travels inside a signed cursor. */
export function positionText({ lastSeenUs, batch, row }: FlowPosition): string {
  return `${lastSeenUs}.${batch}.${row}`;
}

/** @throws DomainError `cursor.invalid` for a cursor of another version */
export function parsePosition(text: string): FlowPosition {
  const match = /^(\d{1,16})\.(\d{1,19})\.(\d{1,5})$/.exec(text);
  if (match === null) throw new DomainError('cursor.invalid', 'This cursor is of another version: start without one.', { pointer: '/cursor' });
  return { lastSeenUs: Number(match[1]), batch: match[2] ?? '0', row: Number(match[3]) };
}
