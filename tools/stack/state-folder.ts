import { existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where a stack keeps everything it writes. Removing the folder removes the stack's memory. */
export class StateFolder {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
    mkdirSync(this.log, { recursive: true, mode: 0o700 });
  }

  get log(): string {
    return join(this.root, 'log');
  }

  get keys(): string {
    return join(this.root, 'keys');
  }

  get postgresData(): string {
    return join(this.root, 'postgres');
  }

  get ownerTokenFile(): string {
    return join(this.root, 'owner-token');
  }

  /** State of one agent: its key, certificate and last good bundle. */
  agent(node: string): string {
    return join(this.root, 'agents', node);
  }

  logFile(name: string): string {
    return join(this.log, `${name}.log`);
  }

  /** A small value that has to stay the same over restarts: made once, then read. */
  remember<T>(name: string, make: () => T): T {
    const file = join(this.root, `${name}.json`);
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as T;
    const value = make();
    // Renamed into place, so that a kill in between leaves no half file.
    writeFileSync(`${file}.new`, `${JSON.stringify(value)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return value;
  }
}

const MAX_LOG_BYTES = 20 << 20;

/** Opens a log for appending; one that has grown large is kept aside, once, and a new one begun. */
export function openLog(file: string): number {
  if (existsSync(file) && statSync(file).size > MAX_LOG_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

/** The last lines of a log, for the message that says something failed. */
export function logTail(file: string, lines = 15): string {
  if (!existsSync(file)) return '(no log)';
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
}
