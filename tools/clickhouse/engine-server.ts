import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * A current ClickHouse engine behind ClickHouse's HTTP interface: the npm package `chdb` (installed by
 * `npm run test:clickhouse` beside this file) in a process of its own, so that the official client, and several processes,
 * speak to it as to a server. For tests and the benchmark: one statement at a time, no users, no replication.
 * Usage: node engine-server.ts PORT DATA_FOLDER
 */

interface ChdbSession {
  query(sql: string, format?: string): string;
  close(): void;
}

/** Parameters of a request that are no settings of the statement. */
const NOT_SETTINGS = new Set(['query', 'query_id', 'database', 'user', 'password', 'session_id', 'role', 'default_format', 'wait_end_of_query', 'readonly', 'enable_http_compression']);

const [portText = '0', folder = ''] = process.argv.slice(2);
const { Session } = createRequire(import.meta.url)('chdb') as { Session: new (path: string) => ChdbSession };
const session = new Session(folder);
const scratch = mkdtempSync(join(tmpdir(), 'palisade-clickhouse-'));

function quoted(text: string): string {
  // A byte of zero would end the statement in the engine's C interface.
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`).replaceAll('\0', String.raw`\0`)}'`;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function settingsClause(parameters: URLSearchParams): string {
  const settings = [...parameters].filter(([name]) => !NOT_SETTINGS.has(name) && !name.startsWith('param_'));
  return settings.length === 0 ? '' : ` SETTINGS ${settings.map(([name, value]) => `${name} = ${/^\d+$/.test(value) ? value : quoted(value)}`).join(', ')}`;
}

function run(parameters: URLSearchParams, body: Buffer): string {
  const asked = parameters.get('query');
  const sql = (asked ?? body.toString('utf8')).trim().replace(/;$/, '');
  const [, statement = sql, format] = /^([\s\S]*)\sFORMAT\s+(\w+)$/i.exec(sql) ?? [];
  const settings = settingsClause(parameters);
  if (/^INSERT\s/i.test(statement) && format !== undefined) {
    const file = join(scratch, 'insert');
    writeFileSync(file, body);
    return session.query(`${statement} FROM INFILE ${quoted(file)}${settings} FORMAT ${format}`);
  }
  for (const [name, value] of parameters) if (name.startsWith('param_')) session.query(`SET ${name} = ${quoted(value)}`);
  return session.query(/^(?:SELECT|WITH)\s/i.test(statement) ? statement + settings : statement, format ?? 'TabSeparated');
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://engine');
  if (url.pathname === '/ping') return void response.end('Ok.\n');
  const body = await bodyOf(request);
  try {
    response.end(run(url.searchParams, body));
  } catch (error) {
    const text = (error instanceof Error ? error.message : String(error)).replace(/^Query failed: /, '');
    const code = /Code: (\d+)/.exec(text)?.[1] ?? '1002';
    response.writeHead(500, { 'x-clickhouse-exception-code': code }).end(text);
  }
}

const server = createServer((request, response) => void answer(request, response));
server.listen(Number(portText), '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`listening on ${typeof address === 'object' && address !== null ? address.port : portText}\n`);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    server.close();
    rmSync(scratch, { recursive: true, force: true });
    session.close();
    process.exit(0);
  });
}
