import { DomainError } from '@palisade/errors';

const UNIT_US = { s: 1_000_000, m: 60_000_000, h: 3_600_000_000, d: 86_400_000_000 } as const;
const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.(\d{1,9}))?(?:Z|[+-]\d{2}:\d{2})$/;

/** RFC 3339 with up to microseconds, or a duration back from now (`15m`). @returns Unix microseconds. @throws DomainError `request.invalid` */
export function instantUs(text: string, nowUs: number): number {
  const ago = /^(\d{1,9})([smhd])$/.exec(text);
  if (ago !== null) return nowUs - Number(ago[1]) * UNIT_US[ago[2] as keyof typeof UNIT_US];
  const match = RFC_3339.exec(text);
  const ms = match === null ? Number.NaN : Date.parse(text);
  if (Number.isNaN(ms)) throw new DomainError('request.invalid', `'${text.slice(0, 64)}' is no time: write 2026-11-22T23:05:00Z, or a duration back from now such as 15m, 6h or 7d.`);
  const fraction = (match?.[1] ?? '').padEnd(6, '0').slice(0, 6);
  return Math.floor(ms / 1000) * 1_000_000 + Number(fraction);
}

/** RFC 3339 in UTC, with microseconds. */
export function instantText(us: number): string {
  const ms = Math.floor(us / 1000);
  return `${new Date(ms).toISOString().slice(0, -1)}${String(us - ms * 1000).padStart(3, '0')}Z`;
}
