import { z } from 'zod';

/** Thrown before anything starts; the message names every fault at once. */
export class ConfigError extends Error {
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(`The configuration is not valid:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

/**
 * Reads the configuration of a process from its environment. An empty variable counts as unset.
 * Throws `ConfigError` with all faults; values are never in the message, for they may be secrets.
 */
export function readConfig<Schema extends z.ZodObject>(schema: Schema, environment: Readonly<Record<string, string | undefined>>): z.output<Schema> {
  const given = Object.fromEntries(Object.entries(environment).filter(([name, value]) => name in schema.shape && value !== ''));
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new ConfigError(
    parsed.error.issues.map((issue) => {
      const name = issue.path.join('.');
      return given[name] === undefined ? `${name} is not set` : `${name}: ${issue.message}`;
    }),
  );
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `host:port` or `[v6]:port`; port 0 picks a free one. */
export const listenAddress = z.string().transform((text, context): ListenAddress => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    context.addIssue({ code: 'custom', message: 'is no address to listen on: use host:port, for example 127.0.0.1:7080' });
    return z.NEVER;
  }
  return { host, port };
});

export const postgresUrl = z.url({ protocol: /^postgres(ql)?$/, error: 'is no PostgreSQL URL: use postgres://user:password@host:port/database' });

export const logLevel = z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info');
