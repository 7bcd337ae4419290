import { isDomainError } from '@palisade/errors';
import type { ClickHouseSession } from './clickhouse-session.ts';

/** The first version whose views know a repeated insert by its token. */
const LEAST = [23, 8] as const;

/** Whether `24.3.5.46` or the like is new enough. @throws Error for a text that is no version */
export function isRecent(version: string): boolean {
  const match = /^(\d+)\.(\d+)/.exec(version);
  if (match === null) throw new Error(`ClickHouse gives its version as "${version}", which cannot be read.`);
  const [year, month] = [Number(match[1]), Number(match[2])];
  return year > LEAST[0] || (year === LEAST[0] && month >= LEAST[1]);
}

/**
 * Asks the server that answers for its version. One that does not answer now is no reason not to start: the gateway's spool
 * bridges that, and the worker asks again with every look at the schema.
 * @throws Error for a version on which repeated inserts would count twice
 */
export async function checkServerVersion(session: ClickHouseSession): Promise<void> {
  let version: string;
  try {
    const [row] = await session.rows<{ version: string }>('SELECT version() AS version', {});
    version = row?.version ?? '';
  } catch (error) {
    if (isDomainError(error, 'service.unavailable')) return;
    throw error;
  }
  if (!isRecent(version)) throw new Error(`ClickHouse ${version} is too old for flows: repeated inserts would count twice in the sums. Upgrade it to ${LEAST.join('.')} or newer.`);
}
