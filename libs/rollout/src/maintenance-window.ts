/** A weekly window in UTC in which waves may open. */
export interface MaintenanceWindow {
  /** 0 Sunday … 6 Saturday, the day the window starts on. */
  readonly days: readonly number[];
  /** Minutes since midnight UTC. */
  readonly startMinute: number;
  /** 1 to 1440; a window may run past midnight. */
  readonly durationMinutes: number;
}

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1440;

/** True when a wave may open now. No windows means always. Running waves are never cut by a window's end. */
export function mayOpenWave(windows: readonly MaintenanceWindow[], nowMs: number): boolean {
  if (windows.length === 0) return true;
  const now = new Date(nowMs);
  const minuteOfDay = now.getUTCHours() * 60 + now.getUTCMinutes();
  return windows.some((window) =>
    window.days.some((day) => {
      const sinceStart = ((now.getUTCDay() - day + 7) % 7) * DAY_MINUTES + minuteOfDay - window.startMinute;
      const wrapped = sinceStart < 0 ? sinceStart + 7 * DAY_MINUTES : sinceStart;
      return wrapped < window.durationMinutes;
    }),
  );
}

/** The next instant (Unix ms, whole minute) at which a wave may open; null when no window ever opens. */
export function nextOpening(windows: readonly MaintenanceWindow[], nowMs: number): number | null {
  if (mayOpenWave(windows, nowMs)) return nowMs;
  const start = Math.ceil(nowMs / MINUTE_MS) * MINUTE_MS;
  for (let minute = 0; minute <= 7 * DAY_MINUTES; minute += 1) {
    if (mayOpenWave(windows, start + minute * MINUTE_MS)) return start + minute * MINUTE_MS;
  }
  return null;
}
