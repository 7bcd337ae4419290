import type { ClickHouseServer, ParameterValue } from '../clickhouse/clickhouse-session.ts';

/**
 * A connection to Debian's clickhouse-server 18.16, which proves replication and is older than the official client
 * supports: it knows neither parameters nor tokens. Values are written into the statement, and a repeated insert is
 * recognised by its content. For tests only.
 */
export function oldClickHouseServer(url: string): ClickHouseServer {
  const send = async (query: string, body: Buffer | string, extra = ''): Promise<string> => {
    const response = await fetch(`${url}/?wait_end_of_query=1${extra}${query === '' ? '' : `&query=${encodeURIComponent(query)}`}`, { method: 'POST', body }).catch((cause: unknown) => {
      throw new Error(`${url} does not answer.`, { cause });
    });
    const text = await response.text();
    if (!response.ok) throw Object.assign(new Error(text.slice(0, 1_000)), { code: /^Code: (\d+)/.exec(text)?.[1] ?? '', type: 'OLD_SERVER' });
    return text;
  };
  return {
    query: async <Row>(sql: string, parameters: Readonly<Record<string, ParameterValue>>) => {
      const filled = sql.replaceAll(/\{(\w+):([\w()]+)\}/g, (_, name: string, type: string) => literal(parameters[name], type));
      return (JSON.parse(await send('', `${filled} FORMAT JSON`, '&output_format_json_quote_64bit_integers=1')) as { data: Row[] }).data;
    },
    async insert({ table, format, body }) {
      await send(`INSERT INTO ${table} FORMAT ${format}`, body);
    },
    async command(sql) {
      await send('', sql.replace(/replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 2592000/, 'replicated_deduplication_window = 10000'));
    },
    close: () => Promise.resolve(),
  };
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}

function literal(value: ParameterValue | undefined, type: string): string {
  if (value === undefined) throw new Error('A parameter has no value.');
  if (type === 'UUID') return `toUUID(${quoted(String(value))})`;
  if (type === 'String') return quoted(String(value));
  if (!type.startsWith('Array(')) return `to${type}(${quoted(String(value))})`;
  if (!Array.isArray(value)) throw new Error(`A parameter of type ${type} has to be a list.`);
  if (value.length === 0) return `emptyArray${type.slice('Array('.length, -1)}()`;
  return `[${value.map((one) => literal(one as string | number, type.slice('Array('.length, -1))).join(', ')}]`;
}
