export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
const ORDER: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** One JSON line an event. Fields are plain values; never secrets. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogFields = Readonly<Record<string, string | number | boolean | bigint | undefined>>;

export function parseLogLevel(text: string): LogLevel | undefined {
  return ORDER.find((level) => level === text);
}

/** @param write one complete line, newline included */
export function createLog(level: LogLevel, write: (line: string) => void = (line) => process.stderr.write(line)): Log {
  const least = ORDER.indexOf(level);
  const at = (name: LogLevel) => (message: string, fields: LogFields = {}) => {
    if (ORDER.indexOf(name) < least) return;
    const line = { time: new Date().toISOString(), level: name, message, ...fields };
    write(`${JSON.stringify(line, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
