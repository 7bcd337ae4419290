import type { WakeUp } from '@palisade/control';
import type { Session } from './session.ts';

/** Channel of PostgreSQL's LISTEN. Payload: JSON with `topic`, `tenant` and the ids. */
export const WAKE_CHANNEL = 'palisade_wake';

export function postgresWakeUp(session: Session): WakeUp {
  return {
    async notify(topic, ids = {}) {
      await session.query('SELECT palisade.wake($1, $2)', [topic, JSON.stringify(ids)]);
    },
  };
}
