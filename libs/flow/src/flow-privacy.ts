import type { FlowColumns } from './flow-columns.ts';

/** What of a tenant's traffic may be stored. Headers and bodies are in no flow, whatever is set. */
export interface FlowPrivacy {
  /** Query strings of HTTP paths. */
  readonly keepQueryStrings: boolean;
  /** Arguments of processes, which often hold secrets. */
  readonly keepProcessArguments: boolean;
}

/** What holds where nobody has decided otherwise. */
export const DEFAULT_FLOW_PRIVACY: FlowPrivacy = { keepQueryStrings: false, keepProcessArguments: false };

/** Everything from the first `?` or `#` on is cut (RFC 3986 §3.4, §3.5). */
export function withoutQueryString(path: string): string {
  const end = path.search(/[?#]/);
  return end < 0 ? path : path.slice(0, end);
}

/** The batch without what must not be stored. Costs as much as its dictionaries are long, not its rows. */
export function redactColumns(columns: FlowColumns, privacy: FlowPrivacy): FlowColumns {
  const paths = !privacy.keepQueryStrings && columns.httpRequests.some(({ path }) => /[?#]/.test(path));
  const processes = !privacy.keepProcessArguments && columns.processes.some((process) => process.arguments !== undefined);
  if (!paths && !processes) return columns;
  return {
    ...columns,
    ...(paths ? { httpRequests: columns.httpRequests.map((request) => ({ ...request, path: withoutQueryString(request.path) })) } : {}),
    ...(processes ? { processes: columns.processes.map(({ arguments: _redacted, ...process }) => process) } : {}),
  };
}
