import { DomainError } from '@palisade/errors';
import type { FlowPosition, IngestPosition } from '@palisade/control';

const MAX_BIGINT = 2n ** 63n - 1n;
const MAX_ROW = 32_767;

function isBigint(text: string): boolean {
  return /^\d{1,19}$/.test(text) && BigInt(text) <= MAX_BIGINT;
}

function invalid(): DomainError {
  return new DomainError('cursor.invalid', 'This cursor is of another flow store: start without one.', { pointer: '/cursor' });
}

/** @throws DomainError `cursor.invalid` for what this store cannot have given */
export function checkedPlace(position: IngestPosition): IngestPosition {
  if (!isBigint(position.commit) || !isBigint(position.batch)) throw invalid();
  return position;
}

/** @throws DomainError `cursor.invalid` for what this store cannot have given */
export function checkedPosition(position: FlowPosition): FlowPosition {
  if (!isBigint(position.batch) || position.row > MAX_ROW) throw invalid();
  return position;
}
