import type { ReadRollouts, RolloutDetail, RolloutEventRecord } from '@palisade/control';
import { ACTIVE_ROLLOUT_STATES } from '@palisade/rollout';
import type { TenantContext } from '@palisade/tenancy';
import { rolloutDetailView, rolloutEventView } from './rollout.schema.ts';

const PAGE = 200;
/** A comment after this many quiet turns keeps proxies from cutting the stream. */
const QUIET_TURNS = 30;

export interface FollowInput {
  readonly read: Pick<ReadRollouts, 'events' | 'get'>;
  readonly context: TenantContext;
  readonly clusterId: string;
  readonly rolloutId: string;
  /** Id of the last event that the reader has; absent: from the beginning. */
  readonly after: string | undefined;
  readonly pause: () => Promise<unknown>;
  readonly gone: AbortSignal;
}

/**
 * The text of a stream of server-sent events: `rollout` for everything that happened (its id resumes), `progress` with counts
 * by state and ETA whenever they change. It ends when the rollout is settled and everything was told.
 */
export async function* followRollout(input: FollowInput): AsyncGenerator<string> {
  const { read, context, clusterId, rolloutId, gone } = input;
  let { after } = input;
  let told = '';
  let quiet = 0;
  while (!gone.aborted) {
    // Read before the events: what made it settle is then among them.
    const detail = await read.get(context, clusterId, rolloutId);
    let text = '';
    for (let more = true; more; ) {
      const page = await read.events(context, clusterId, rolloutId, { limit: PAGE, ...(after !== undefined && { after }) });
      text += page.items.map(eventText).join('');
      after = page.items.at(-1)?.id ?? after;
      more = page.next !== undefined;
    }
    const progress = JSON.stringify(progressOf(detail));
    if (progress !== told) text += `event: progress\ndata: ${progress}\n\n`;
    told = progress;
    quiet = text === '' ? quiet + 1 : 0;
    if (text !== '') yield text;
    else if (quiet % QUIET_TURNS === 0) yield ': nothing new\n\n';
    if (isSettled(detail)) return;
    await input.pause();
  }
}

function eventText(event: RolloutEventRecord): string {
  return `event: rollout\nid: ${event.id}\ndata: ${JSON.stringify(rolloutEventView(event))}\n\n`;
}

function progressOf(detail: RolloutDetail) {
  const { state, reason, generation, waves, etaMs } = rolloutDetailView(detail);
  // Minutes are precise enough for an estimate, and do not make a message of every turn.
  return { state, reason, generation, etaMs: etaMs === null ? null : Math.ceil(etaMs / 60_000) * 60_000, waves };
}

function isSettled({ rollout }: RolloutDetail): boolean {
  return !ACTIVE_ROLLOUT_STATES.includes(rollout.state) && rollout.state !== 'rolling_back';
}
