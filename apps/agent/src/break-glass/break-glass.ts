import type { BundleExecutor } from '../executor/bundle-executor.ts';
import type { Log } from '../log.ts';
import type { AgentState } from '../state/agent-state.ts';

/** Longest time enforcement may be suspended at once. */
export const MAX_DISABLE_MS = 24 * 3600_000;

/** `30m`, `2h`, `90s`. @returns milliseconds, or undefined for anything else and beyond {@link MAX_DISABLE_MS} */
export function parseDuration(text: string): number | undefined {
  const match = /^([1-9][0-9]{0,5})(s|m|h)$/.exec(text);
  if (match === null) return undefined;
  const ms = Number(match[1]) * { s: 1000, m: 60_000, h: 3600_000 }[match[2] as 's' | 'm' | 'h'];
  return ms <= MAX_DISABLE_MS ? ms : undefined;
}

/**
 * Break-glass: local root suspends enforcement for a bounded time, with or without a control plane. The wish is a file;
 * the agent carries it out, ends it by itself, and tells the control plane of both.
 */
export class BreakGlass {
  readonly #state: AgentState;
  readonly #executor: Pick<BundleExecutor, 'disable' | 'enable'>;
  readonly #now: () => number;
  readonly #log: Log;
  #active = false;

  constructor(ports: { readonly state: AgentState; readonly executor: Pick<BundleExecutor, 'disable' | 'enable'>; readonly now: () => number; readonly log: Log }) {
    this.#state = ports.state;
    this.#executor = ports.executor;
    this.#now = ports.now;
    this.#log = ports.log;
  }

  get active(): boolean {
    return this.#active;
  }

  /** Looks at the wish and makes it so. @returns whether anything changed */
  async follow(): Promise<boolean> {
    const until = this.#state.disabledUntilMs();
    const wanted = until !== undefined && until > this.#now();
    if (until !== undefined && !wanted) {
      this.#state.saveDisabledUntil(undefined);
      this.#state.addLocalAct({ kind: 'enable', atMs: this.#now(), detail: 'Break-glass ended by itself.' });
    }
    if (wanted === this.#active) return false;
    if (wanted) await this.#executor.disable();
    else await this.#executor.enable();
    this.#active = wanted;
    this.#log.warn(wanted ? 'break-glass: enforcement is suspended' : 'enforcement is on again', { until });
    return true;
  }
}
