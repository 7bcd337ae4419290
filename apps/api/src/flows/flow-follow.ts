import { setTimeout as delay } from 'node:timers/promises';
import type { FlowQuery, FlowTail, IngestPosition, ReadFlows, StoredFlow } from '@palisade/control';
import { isDomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';

export interface FollowedFlows {
  readonly flows: readonly StoredFlow[];
  /** Where to go on after these; every flow committed later comes after it, whatever its time. */
  readonly position: IngestPosition;
}

const POLL_MS = 500;
const PORTION = 500;

/**
 * Flows as they are committed, in order of ingest, until the signal. Yields at least every `idleMs`, also without flows, so
 * that a listener can tell silence from a dead connection.
 */
export async function* followFlows(
  reader: ReadFlows, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, from: IngestPosition, signal: AbortSignal, idleMs = 10_000,
): AsyncGenerator<FollowedFlows> {
  let position = from;
  let quietSince = Date.now();
  while (!signal.aborted) {
    const tail = await nextTail(reader, context, query, position);
    ({ position } = tail);
    if (tail.flows.length > 0 || Date.now() - quietSince >= idleMs) {
      yield { flows: tail.flows, position };
      quietSince = Date.now();
    }
    if (!tail.more) await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** A store that is busy or restarts does not end the following: it goes on from where it was. */
async function nextTail(reader: ReadFlows, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition): Promise<FlowTail> {
  try {
    return await reader.tail(context, query, position, PORTION);
  } catch (error) {
    if (!isDomainError(error, 'service.unavailable')) throw error;
    return { flows: [], position, more: false };
  }
}

/** A position as text, for cursors. */
export function ingestPositionText({ commit, batch }: IngestPosition): string {
  return `${commit}.${batch}`;
}

export function parseIngestPosition(text: string): IngestPosition | undefined {
  // What the commit says is the store's own business; cursors are signed.
  const match = /^([0-9a-f_!-]{1,8000})\.(\d{1,19})$/.exec(text);
  return match === null ? undefined : { commit: match[1] ?? '0', batch: match[2] ?? '0' };
}
