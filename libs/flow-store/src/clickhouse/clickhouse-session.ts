import { DomainError } from '@palisade/errors';

export type ParameterValue = string | number | boolean | readonly string[] | readonly number[];
export type ParameterValues = Readonly<Record<string, ParameterValue>>;

export interface ClickHouseInsert {
  /** With its database. */
  readonly table: string;
  readonly format: 'Native' | 'JSONEachRow';
  readonly body: Buffer;
  /** Equal tokens are stored once, whichever replica takes them. */
  readonly token: string;
  /** Which shard takes it; modulo the number of shards. */
  readonly shard?: number;
}

/**
 * What the store asks of ClickHouse. Values travel as parameters (`{name:Type}`), never inside the statement. 64-bit numbers
 * come back as text.
 */
export interface ClickHouseSession {
  rows<Row>(sql: string, parameters: ParameterValues): Promise<readonly Row[]>;
  /** Fulfils when the server has stored all of it. */
  insert(insert: ClickHouseInsert): Promise<void>;
  execute(sql: string): Promise<void>;
  close(): Promise<void>;
}

/** What a session needs from a connection to one server. */
export interface ClickHouseServer {
  query<Row>(sql: string, parameters: ParameterValues): Promise<readonly Row[]>;
  insert(insert: ClickHouseInsert): Promise<void>;
  command(sql: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Codes of errors of the server as it is now, not of the statement: another replica may do better. NETWORK_ERROR,
 * SOCKET_TIMEOUT, NO_ZOOKEEPER, TABLE_IS_READ_ONLY, ALL_CONNECTION_TRIES_FAILED, TOO_MANY_SIMULTANEOUS_QUERIES,
 * ALL_REPLICAS_ARE_STALE, KEEPER_EXCEPTION.
 */
const PASSING_CODES = new Set(['210', '209', '225', '242', '279', '202', '369', '999']);
const TIMEOUT_EXCEEDED = '159';
/** UNKNOWN_TABLE and UNKNOWN_DATABASE. */
const NOT_THERE = new Set(['60', '81']);

function codeOf(error: unknown): string | undefined {
  const { code, type } = error as { code?: unknown; type?: unknown };
  // The client's own errors of the server have a numeric code and a type; socket errors have neither or a name.
  return typeof code === 'string' && /^\d+$/.test(code) && (type === undefined || typeof type === 'string') ? code : undefined;
}

function mayPass(error: unknown): boolean {
  if (error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError) return false;
  const code = codeOf(error);
  return code === undefined || PASSING_CODES.has(code);
}

function classify(error: unknown): unknown {
  if (error instanceof DomainError) return error;
  if (codeOf(error) === TIMEOUT_EXCEEDED) return new DomainError('service.unavailable', 'The query took too long; ask for a shorter window or fewer conditions.', { cause: error });
  if (NOT_THERE.has(codeOf(error) ?? '')) return new DomainError('service.unavailable', 'The flow tables are not in ClickHouse yet: a worker with FLOW_STORE=clickhouse makes them.', { cause: error });
  if (mayPass(error)) return new DomainError('service.unavailable', 'No ClickHouse server answers; try again later.', { cause: error });
  return error;
}

/** Replicas of one shard: the one that answered last is asked first. */
class Shard {
  readonly #servers: readonly ClickHouseServer[];
  #preferred = 0;

  constructor(servers: readonly ClickHouseServer[]) {
    this.#servers = servers;
  }

  async try<Result>(work: (server: ClickHouseServer) => Promise<Result>): Promise<Result> {
    let failure: unknown;
    for (let turn = 0; turn < this.#servers.length; turn++) {
      const index = (this.#preferred + turn) % this.#servers.length;
      const server = this.#servers[index];
      if (server === undefined) break;
      try {
        const result = await work(server);
        this.#preferred = index;
        return result;
      } catch (error) {
        failure = error;
        if (!mayPass(error)) break;
      }
    }
    throw classify(failure);
  }

  async close(): Promise<void> {
    for (const server of this.#servers) await server.close();
  }
}

/** A session with the servers of all shards. Questions and changes of the schema go to the first shard, which knows the others. */
export function sessionOf(shards: readonly (readonly ClickHouseServer[])[]): ClickHouseSession {
  const all = shards.map((servers) => new Shard(servers));
  const [first] = all;
  if (first === undefined) throw new RangeError('A ClickHouse session needs at least one server.');
  return {
    rows: <Row>(sql: string, parameters: ParameterValues) => first.try((server) => server.query<Row>(sql, parameters)),
    insert: (insert) => (all[(insert.shard ?? 0) % all.length] ?? first).try((server) => server.insert(insert)),
    execute: (sql) => first.try((server) => server.command(sql)),
    async close() {
      for (const shard of all) await shard.close();
    },
  };
}
